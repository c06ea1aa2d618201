"""Installs and starts the watcher and the guard on this machine."""

import contextlib
import json
import os
import signal
import stat
import time
from typing import Any, Dict, List

from . import place, policy
from .read.command import find, run

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 10.0  # s for an old watcher to end
LOOKS = 15  # checks of an unchanged heartbeat before the guard stops the machine
UNITS = ("gpu-box-watch.service", "gpu-box-guard.service", "gpu-box-guard.timer")
WRAPPER = '#!/bin/sh\ncd "%s" && exec /usr/bin/python3 -s -m watch "$@"\n'


def install(settings: Dict[str, Any]) -> List[str]:
    """Install, or replace an older version; returns lines to display. Safe to run again.

    settings: for policy.json, as `policy.parse` takes them; others in the file stay. Raises ValueError for
    invalid settings, OSError if systemd refuses.
    """
    os.umask(0o022)  # every user reads the status and runs the code to send notices
    set_policy(settings)
    if not place.systemd():
        return [_start_process(), "fuse, guard: not armed, because this machine has no systemd"]
    where = place.of_machine()
    os.makedirs(where.state, exist_ok=True)
    os.makedirs(place.UNITS, exist_ok=True)
    _copy_code()
    _copy_units(policy.load(where.policy)[0])
    run(["systemctl", "daemon-reload"], seconds=60.0)
    for unit in ("gpu-box-guard.timer", "gpu-box-watch.service"):
        run(["systemctl", "enable", unit], seconds=60.0)
        run(["systemctl", "restart", "--no-block", unit], seconds=60.0)
    return ["watcher: armed", "guard: armed", "fuse: %s" % _fuse()]


def set_policy(settings: Dict[str, Any]) -> None:
    """Change policy.json; a running watcher applies it with its next sample. Raises ValueError if invalid.

    Settings in the file that this version does not know are dropped.
    """
    where = place.find()
    os.makedirs(where.state, exist_ok=True)
    wrong = policy.parse(settings)[1]
    if wrong:
        raise ValueError("; ".join(wrong))
    values = {key: value for key, value in _written(where).items() if not policy.parse({key: value})[1]}
    values.update(settings)
    place.write(where.policy, json.dumps(values, indent=1, sort_keys=True) + "\n")


def _written(where: place.Place) -> Dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, ValueError, RecursionError):
        with open(where.policy, encoding="utf-8") as file:
            values = json.load(file)
        if isinstance(values, dict):
            return values
    return {}


def needs_root() -> bool:
    """Whether this machine's watcher runs as root and we do not."""
    return os.geteuid() != 0 and place.systemd()


def uninstall() -> List[str]:
    """Remove the watcher and the guard; returns lines to display. The fuse stays."""
    for unit in UNITS:
        path = os.path.join(place.UNITS, unit)
        if os.path.exists(path):
            run(["systemctl", "disable", "--now", unit], seconds=60.0)
            os.unlink(path)
    return ["watcher, guard: removed. From now on only its deadline in AWS stops this machine"]


def _start_process() -> str:
    """Without systemd, run the watcher as a daemon. Nothing restarts it."""
    where = place.find()
    os.makedirs(where.state, exist_ok=True)
    pid, version = place.running(where)
    if pid and version == place.code():
        return "watcher: armed, as a process"
    if pid:
        _end(pid, where)
    if os.fork() == 0:
        os.setsid()
        for file, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
            os.dup2(os.open(os.devnull, mode), file)
        os.chdir(os.path.dirname(HERE))
        os.execv(_python(), [_python(), "-s", "-m", "watch", "run"])
    return "watcher: armed, started as a process"


def _end(pid: int, where: place.Place) -> None:
    """End an older version of the watcher. The new one reads its log."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if place.running(where)[0] != pid:
                return
            time.sleep(0.05)


def _python() -> str:
    import sys

    return sys.executable or find("python3")


def _copy_code() -> None:
    target = os.path.join(place.CODE, "watch")
    if os.path.realpath(HERE) != os.path.realpath(target):
        _copy(HERE, target)
    with open(os.path.join(HERE, "guard.sh"), encoding="utf-8") as file:
        place.write(os.path.join(place.CODE, "guard"), file.read())
    wrapper = "/usr/local/bin/gpu-box-watch"
    os.makedirs(os.path.dirname(wrapper), exist_ok=True)
    place.write(wrapper, WRAPPER % place.CODE)
    os.chmod(wrapper, 0o755)


def _copy(source: str, target: str) -> None:
    os.makedirs(target, exist_ok=True)
    for name in sorted(os.listdir(source)):
        path, copy = os.path.join(source, name), os.path.join(target, name)
        if stat.S_ISDIR(os.lstat(path).st_mode):
            if name != "__pycache__":
                _copy(path, copy)
        else:
            with open(path, encoding="utf-8") as file:
                place.write(copy, file.read())


def _copy_units(rules: policy.Policy) -> None:
    words = {"CODE": place.CODE, "LOOKS": str(LOOKS), "EVERY": "%gs" % (rules.guard_after / LOOKS)}
    for unit in UNITS:
        with open(os.path.join(HERE, "units", unit), encoding="utf-8") as file:
            text = file.read()
        for word, value in words.items():
            text = text.replace("@%s@" % word, value)
        place.write(os.path.join(place.UNITS, unit), text)


def _fuse() -> str:
    try:
        run(["systemctl", "is-active", "gpu-box-fuse.timer"], seconds=10.0)
        return "armed since boot"
    except OSError:
        return "not armed: this machine's user data did not start it"
