"""Warns users, records the reason and powers off. `judge` decides when."""

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
from .read.scratch import warning as scratch_warning
from .read.text import shown, values
from .sample import Sample, plain
from .signals import spell

# Tried in this order until the machine goes down; --force does not wait for services to end.
COMMANDS = (
    ("systemctl", "poweroff"),
    ("shutdown", "-h", "now"),
    ("sudo", "-n", "shutdown", "-h", "now"),
    ("systemctl", "--force", "poweroff"),
    ("systemctl", "--force", "--force", "poweroff"),
)
POWEROFF = 4  # SIGRTMIN+4 starts poweroff.target (systemd(1), "Signals")
PATIENCE = 60.0  # s to wait for a power-off before the next command
# A shutdown ends the watcher first, then waits up to TimeoutStopSec for each unit. This unit
# (DefaultDependencies=no) runs until all others are down; then SIGTERM ends it.
# `systemctl --force --force` syncs the disks; sysrq "o" does not.
FORCE = "sleep $1; timeout 20 systemctl --force --force poweroff || echo o >/proc/sysrq-trigger"
FORCED = 60.0  # s after which a shutdown that hangs is forced
SAVING = 30.0  # s for jobs to save and end, before the shutdown begins
SAYS = "gpu-box: stopping this machine: "  # on the console, before the reason
RECORD = "gpu-box-stopped "  # on the console, before the content of stopped.json
MESSAGE = 1000  # characters of a message to users
RESERVE = 4096  # bytes of stopped.json, allocated in advance so that a full disk does not lose the reason


def power_off(
    command: Tuple[str, ...], *, wait: Callable[[float], None] = time.sleep, forced: float = FORCED
) -> List[str]:
    """Power off by `command`, or by the system's commands. Returns the problems; normally it does not return.

    forced: s after which a unit that outlives the watcher forces the shutdown.
    """
    problems = []
    if not command and "GPU_BOX_MACHINE" in os.environ:
        return ["this machine is a process of its host and cannot power off"]
    if not command and os.geteuid() == 0 and systemd():
        problems += _force_after(forced)
    for argv in [list(command)] if command else [list(words) for words in COMMANDS]:
        if not find(argv[0]) and not os.access(argv[0], os.X_OK):
            problems.append("no %s" % argv[0])
            continue
        try:
            run(argv, seconds=30.0, always=True)
        except OSError as error:
            problems.append(str(error))
            continue
        if command:
            return []
        wait(PATIENCE)
        problems.append("%s had no effect" % " ".join(argv))
    if not command and os.geteuid() == 0 and systemd():
        # Needs no new process, when tasks or memory have run out.
        os.kill(1, signal.SIGRTMIN + POWEROFF)
        wait(PATIENCE)
        problems.append("the power-off signal to systemd had no effect")
    return problems


def _force_after(seconds: float) -> List[str]:
    options = ["--quiet", "--no-block", "--collect", "--unit=gpu-box-force"]
    options += ["--property=DefaultDependencies=no", "--property=OOMScoreAdjust=-900"]
    words = ["/bin/sh", "-c", FORCE, "sh", "%.0f" % max(1.0, seconds)]
    try:
        run(["systemd-run", *options, *words], seconds=30.0, always=True)
        return []
    except OSError as error:  # also if an earlier call still waits
        return [str(error)]


def reserve(path: str) -> None:
    """Allocate stopped.json unless it exists."""
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(b" " * (RESERVE - 1) + b"\n")


def record(place: Place, layer: str, reason: str, verdict: Verdict, sample: Sample) -> None:
    """Write the reason and every signal to stopped.json and to the console.

    EC2 keeps the console's last output (GetConsoleOutput), so `why` can read it from a stopped box.
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
    if len(text) >= RESERVE:  # many long names: drop the signals, keep the reason
        text = json.dumps(plain({**values, "signals": {}, "reason": reason[: MESSAGE // 2]}))
    with contextlib.suppress(OSError), open(place.stopped, "r+b", buffering=0) as file:
        # Overwriting in place works on a full disk.
        file.write(text[: RESERVE - 1].ljust(RESERVE - 1).encode() + b"\n")
    # Only the machine's own watcher writes to /dev/console.
    console = os.environ.get("GPU_BOX_CONSOLE") or ("/dev/console" if place.run != place.state else "")
    if console:
        with contextlib.suppress(OSError), open(console, "ab", buffering=0) as file:
            file.write(("%s%s\r\n%s%s\r\n" % (SAYS, reason, RECORD, text)).encode())


def stopped(place: Place) -> Any:
    """The record of the last stop, as `record` wrote it, or None."""
    try:
        with open(place.stopped, encoding="utf-8") as file:
            text = file.read().strip()
        return values(text) if text else None
    except (OSError, ValueError):
        return None


def warning(verdict: Verdict) -> str:
    what = "keep" if verdict.cause == "idle" else "extend"
    return "this machine stops in %s (%s). To prevent that: gpu-box %s 2h%s" % (
        spell(verdict.stops_in),
        verdict.reason,
        what,
        scratch_warning(),
    )


def warn(verdict: Verdict) -> None:
    announce(warning(verdict))


def announce(text: str) -> None:
    """Show a message to every logged-in user: on terminals and on tmux status lines."""
    message = shown("gpu-box: " + text, MESSAGE)
    calls: List[Tuple[List[str], Optional[User]]] = [(["wall", message], None)]
    for user in users():
        path = tmux_socket(user)
        if path:
            # Skip the user's tmux configuration.
            words = ["tmux", "-f", os.devnull, "-S", path]
            calls.append((words + ["display-message", "-d", "60000", _literal(message)], user))
    pids = []
    for argv, whose in calls:
        with contextlib.suppress(OSError, ValueError):  # not installed
            pids.append(start(argv, user=whose))
    finish(pids, 5.0)  # a terminal may block


def tmux_socket(user: User) -> str:
    """The socket of this user's tmux server; "" if there is none or another user can write to it.

    A tmux client trusts its server. tmux checks its own folder likewise (make_label in tmux.c), but not a
    socket given by -S.
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
    """Escape a text for display-message, which expands #(shell command), #{format} and strftime(3)'s %H.

    Its option -l needs tmux 3.4. Removes #, because versions differ in how to escape it.
    """
    return message.replace("#", "").replace("%", "%%")
