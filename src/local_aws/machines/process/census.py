"""Finds and ends every process of a process machine, even a detached one.

Each carries GPU_BOX_MACHINE=i-... in its environment, which children inherit through `setsid`, `nohup`,
double forks and tmux servers. On Linux /proc shows it. Elsewhere only the process groups that the SSH
server started are known, so a daemon that left its group survives there until it is killed by hand.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MARKER = "GPU_BOX_MACHINE"
_PROC = Path("/proc")
_GRACE_S = 1.0  # between SIGTERM and SIGKILL; systemd's 90 s are too long on a laptop
_POLL_S = 0.02


def end_all(instance_id: str, groups: Iterable[int] = ()) -> None:
    """End every process of the machine with SIGTERM and SIGHUP, then with SIGKILL.

    groups: process groups known to be the machine's, for systems without /proc.
    """
    deadline = time.monotonic() + _GRACE_S
    known = set(groups)
    _signal(instance_id, known, signal.SIGTERM)
    _signal(instance_id, known, signal.SIGHUP)  # an interactive shell ignores SIGTERM
    while time.monotonic() < deadline:
        if _none_left(instance_id, known):
            return
        time.sleep(_POLL_S)
    give_up = time.monotonic() + 5.0  # a process in uninterruptible sleep cannot be killed at all
    while not _none_left(instance_id, known) and time.monotonic() < give_up:
        _signal(instance_id, known, signal.SIGKILL)
        time.sleep(_POLL_S)


def members(instance_id: str) -> set[int]:
    """Pids of live processes that carry the machine's marker; empty where there is no /proc.

    A process in the middle of execve() has no environment for a moment, and is not found then.
    """
    marker = f"{MARKER}={instance_id}".encode()
    found = set()
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended meanwhile, or is another user's
            if marker in (entry / "environ").read_bytes().split(b"\0") and not _zombie(entry):
                found.add(int(entry.name))
    return found


def _zombie(entry: Path) -> bool:
    # /proc/PID/stat: "pid (comm) state ..."; comm may itself hold parentheses
    return (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"


def _none_left(instance_id: str, groups: set[int]) -> bool:
    """Whether two searches in a row find no process: the first may miss one in the middle of execve()."""
    if _any_left(instance_id, groups):
        return False
    time.sleep(_POLL_S)
    return not _any_left(instance_id, groups)


def _any_left(instance_id: str, groups: set[int]) -> bool:
    if _PROC.is_dir():
        return bool(members(instance_id))
    return any(_group_exists(group) for group in groups)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(instance_id: str, groups: set[int], number: signal.Signals) -> None:
    for pid in members(instance_id):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    if not _PROC.is_dir():
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
