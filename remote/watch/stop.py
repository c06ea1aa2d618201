"""Warning people, leaving the reason, and powering off. What to do and when is decided elsewhere."""

import contextlib
import json
import os
import signal
import stat
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .judge import Verdict
from .place import Place, systemd
from .read.command import find, finish, run, start
from .read.people import User, users
from .read.text import shown, values
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
POWEROFF = 4  # SIGRTMIN+4 starts poweroff.target (systemd(1), "Signals")
PATIENCE = 60.0  # s for a poweroff to take us along before the next one is tried
# A shutdown waits for each unit as long as its TimeoutStopSec says, and ends us first. It does not end this
# (DefaultDependencies=no) before all units are down; then SIGTERM must, or the shutdown waits for it.
# `systemctl --force --force` syncs the disks first; sysrq "o" needs none.
FORCE = "sleep $1; timeout 20 systemctl --force --force poweroff || echo o >/proc/sysrq-trigger"
FORCED = 60.0  # s after which a shutdown that hangs is forced
SAVING = 30.0  # s for jobs to save and end, before the shutdown begins
SAYS = "gpu-box: stopping this machine: "  # on the console, for whoever looks at it
RECORD = "gpu-box-stopped "  # and, behind this, what stopped.json holds
MESSAGE = 1000  # characters of what people are told
RESERVE = 4096  # bytes of stopped.json, laid out beforehand: a full disk must not lose the reason


def power_off(
    command: Tuple[str, ...], *, wait: Callable[[float], None] = time.sleep, forced: float = FORCED
) -> List[str]:
    """Power off by `command`, or by what the system has. Returns what went wrong: nothing did, if never.

    forced: s after which the system's shutdown is forced, by a unit that outlives us.
    """
    problems = []
    if not command and "GPU_BOX_MACHINE" in os.environ:
        return ["this machine is a process of its host: what there is to power off is not its own"]
    if not command and os.geteuid() == 0 and systemd():
        problems += _force_after(forced)
    for argv in [list(command)] if command else [list(words) for words in COMMANDS]:
        if not find(argv[0]) and not os.access(argv[0], os.X_OK):
            problems.append("no %s" % argv[0])
            continue
        try:
            run(argv, seconds=30.0, always=True)
        except OSError as error:  # TimeoutError among them
            problems.append(str(error))
            continue
        if command:
            return []
        wait(PATIENCE)
        problems.append("%s was not obeyed" % " ".join(argv))
    if not command and os.geteuid() == 0 and systemd():
        # No program may run: the service's limit of tasks is used up, or the memory. This needs none.
        os.kill(1, signal.SIGRTMIN + POWEROFF)
        wait(PATIENCE)
        problems.append("systemd did not obey its signal")
    return problems


def _force_after(seconds: float) -> List[str]:
    options = ["--quiet", "--no-block", "--collect", "--unit=gpu-box-force"]
    options += ["--property=DefaultDependencies=no", "--property=OOMScoreAdjust=-900"]
    words = ["/bin/sh", "-c", FORCE, "sh", "%.0f" % max(1.0, seconds)]
    try:
        run(["systemd-run", *options, *words], seconds=10.0, always=True)
        return []
    except OSError as error:  # also when it waits already, from the time before
        return [str(error)]


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
    if len(text) >= RESERVE:  # the figures of many odd names: the reason matters more
        text = json.dumps(plain({**values, "signals": {}, "reason": reason[: MESSAGE // 2]}))
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
        return values(text) if text else None
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
    message = shown("gpu-box: " + text, MESSAGE)
    calls: List[Tuple[List[str], Optional[User]]] = [(["wall", message], None)]
    for user in users():
        path = tmux_socket(user)
        if path:
            # No configuration file: the message is all that this client is for.
            words = ["tmux", "-f", os.devnull, "-S", path]
            calls.append((words + ["display-message", "-d", "60000", _literal(message)], user))
    pids = []
    for argv, whose in calls:
        with contextlib.suppress(OSError, ValueError):  # there is no such program
            pids.append(start(argv, user=whose))
    finish(pids, 5.0)  # nobody there, or a terminal that does not take it: no reason to wait


def tmux_socket(user: User) -> str:
    """Of the tmux server of that user alone; "" where there is none, or another user had a hand in it.

    A client trusts its server: root's would do what the server says. tmux makes the same check of its folder
    (make_label in tmux.c), but not of a socket given by -S.
    """
    folder = os.path.join(os.environ.get("TMUX_TMPDIR", "/tmp"), "tmux-%d" % user.uid)
    path = os.path.join(folder, "default")
    try:
        around, inside = os.lstat(folder), os.lstat(path)
    except OSError:
        return ""
    private = stat.S_ISDIR(around.st_mode) and not stat.S_IMODE(around.st_mode) & 0o077
    ours = around.st_uid == inside.st_uid == user.uid
    return path if private and ours and stat.S_ISSOCK(inside.st_mode) else ""


def _literal(message: str) -> str:
    """For display-message, which expands #(shell command), #{format} and, by strftime(3), %H.

    Its -l would do, from tmux 3.4 on. A # goes altogether: versions differ in how it is escaped.
    """
    return message.replace("#", "").replace("%", "%%")
