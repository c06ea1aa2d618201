"""Warning people, leaving the reason, and powering off. What to do and when is decided elsewhere."""

import contextlib
import json
import os
import time
from typing import Any, Callable, Dict, List, Tuple

from .judge import Verdict
from .place import Place
from .read.command import find, run
from .sample import Sample, plain
from .signals import spell

# Each is tried until one is obeyed; the forced ones do not wait for a service that will not end.
COMMANDS = (
    ("systemctl", "poweroff"),
    ("shutdown", "-h", "now"),
    ("sudo", "-n", "shutdown", "-h", "now"),
    ("systemctl", "--force", "poweroff"),
    ("systemctl", "--force", "--force", "poweroff"),
)
PATIENCE = 60.0  # s for a poweroff to take us along before the next one is tried
SAYS = "gpu-box: stopping this machine: "  # on the console, for whoever looks at it
RECORD = "gpu-box-stopped "  # and, behind this, what stopped.json holds
RESERVE = 4096  # bytes of stopped.json, laid out beforehand: a full disk must not lose the reason


def power_off(command: Tuple[str, ...], *, wait: Callable[[float], None] = time.sleep) -> List[str]:
    """Power off by `command`, or by what the system has. Returns what went wrong: nothing did, if never."""
    problems = []
    if not command and "GPU_BOX_MACHINE" in os.environ:
        return ["this machine is a process of its host: what there is to power off is not its own"]
    for argv in [list(command)] if command else [list(words) for words in COMMANDS]:
        if not find(argv[0]) and not os.access(argv[0], os.X_OK):
            problems.append("no %s" % argv[0])
            continue
        try:
            run(argv, seconds=30.0)
        except OSError as error:  # TimeoutError among them
            problems.append(str(error))
            continue
        if command:
            return []
        wait(PATIENCE)
        problems.append("%s was not obeyed" % " ".join(argv))
    return problems


def reserve(path: str) -> None:
    """Lay out the file that will hold the reason, unless it already does."""
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(b" " * (RESERVE - 1) + b"\n")


def record(place: Place, layer: str, reason: str, verdict: Verdict, sample: Sample) -> None:
    """Leave why, and every signal's figures, in stopped.json and on the console.

    EC2 keeps what was last on the console (GetConsoleOutput), so a stopped box can be asked why it is.
    """
    last, at = verdict.last_used
    values: Dict[str, Any] = {
        "layer": layer,
        "reason": reason,
        "wall": sample.wall,
        "boot": sample.boot,
        "up": sample.up,
        "idle_for": verdict.idle_for,
        "last_used": {"what": last, "wall": at} if last else None,
        "signals": {name: signal.text for name, signal in verdict.signals.items()},
    }
    text = json.dumps(plain(values))
    with contextlib.suppress(OSError), open(place.stopped, "r+b", buffering=0) as file:
        # In place, over what was laid out: this works on a full disk.
        file.write(text[: RESERVE - 1].ljust(RESERVE - 1).encode() + b"\n")
    # A watcher that is not the machine's own has no console but the one that it is given.
    console = os.environ.get("GPU_BOX_CONSOLE") or ("/dev/console" if place.run != place.state else "")
    if console:
        with contextlib.suppress(OSError), open(console, "ab", buffering=0) as file:
            file.write(("%s%s\r\n%s%s\r\n" % (SAYS, reason, RECORD, text)).encode())


def stopped(place: Place) -> Any:
    """What `record` left at the last stop; None when there was none."""
    try:
        with open(place.stopped, encoding="utf-8") as file:
            text = file.read().strip()
        return json.loads(text) if text else None
    except (OSError, ValueError):
        return None


def warning(verdict: Verdict) -> str:
    what = "keep" if verdict.cause == "idle" else "extend"
    return "this machine stops in %s (%s). To keep it up: gpu-box %s 2h" % (
        spell(verdict.stops_in),
        verdict.reason,
        what,
    )


def warn(verdict: Verdict) -> None:
    tell(warning(verdict))


def tell(text: str) -> None:
    """Everyone who is logged in: on their terminals, and on the status line of their tmux."""
    message = "gpu-box: " + text
    for argv in [["wall", message]] + _tmux_calls(message):
        if find(argv[0]):
            try:
                run(argv, seconds=5.0)
            except OSError:
                continue  # nobody there, or a terminal that does not take it


def _tmux_calls(message: str) -> List[List[str]]:
    calls = []
    folder = os.environ.get("TMUX_TMPDIR", "/tmp")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name, "default")
        if name.startswith("tmux-") and os.path.exists(path):
            calls.append(["tmux", "-S", path, "display-message", "-d", "60000", message])
    return calls
