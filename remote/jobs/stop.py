"""Ends jobs: one with SIGTERM, then SIGKILL; all before the machine stops with SIGTERM only."""

import contextlib
import os
import signal
import time
from typing import Any, Dict, List, Optional, Set

from jobs import queue, start, then
from jobs.job import Job, every, processes
from setup.processes import signal_group

_BY_SIGTERM = 128 + signal.SIGTERM
_GRACE_S = 10.0
_KILLED_WITHIN_S = 5.0
_LINGER_S = 1.0  # for the last processes of a command to end by themselves
_SHOWN = 5  # pids of processes that a command left behind


def cancel(job: Job, *, grace_s: float = _GRACE_S) -> Dict[str, Any]:
    """End the job with all of its processes: SIGTERM, after grace_s seconds SIGKILL.

    Returns {"was": its state before, "exit_status", "left": processes that cannot be ended}.
    """
    with queue.locked():
        was, pid = job.state(), job.pid()
        if was == "waiting":
            job.write("cancelled", "1")
            job.end(_BY_SIGTERM)
        if was in ("waiting", "running"):
            then.withdraw(job.name)
    if was == "running":
        job.write("cancelled", "1")
    if (job.folder / "interrupted").exists():
        (job.folder / "interrupted").unlink()  # a cancelled job does not resume
    _end(job, pid, grace_s)
    if was == "waiting":
        start.advance()  # those behind it may need fewer GPUs
    deadline = time.monotonic() + _KILLED_WITHIN_S
    while job.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"was": was, "exit_status": job.exit_status(), "left": len(processes([job], pid))}


def left_behind(job: Job) -> str:
    """The line in the log for processes that outlive the command; "" if there are none."""
    deadline = time.monotonic() + _LINGER_S
    pids = processes([job])
    while pids and time.monotonic() < deadline:
        time.sleep(0.05)
        pids = processes([job])
    if not pids:
        return ""
    shown = ", ".join(str(pid) for pid in pids[:_SHOWN]) + (", ..." if len(pids) > _SHOWN else "")
    return (
        "[gpu-box] the command has ended, but processes that it started still run (%s); "
        "`gpu-box cancel %s` ends them\n" % (shown, job.name)
    )


def _end(job: Job, group: Optional[int], grace_s: float) -> None:
    asked: Set[int] = set()
    deadline = time.monotonic() + grace_s
    left = processes([job], group)
    if group is not None and not left:  # a system without /proc
        signal_group(group, signal.SIGTERM)
    while (left or job.pid() is not None) and time.monotonic() < deadline:
        # Each process once: a second SIGTERM could end it while it saves.
        _signal([pid for pid in left if pid not in asked], signal.SIGTERM)
        asked.update(left)
        time.sleep(0.05)
        left = processes([job], group)
    if group is not None and job.pid() == group:
        signal_group(group, signal.SIGKILL)
    deadline = time.monotonic() + _KILLED_WITHIN_S
    while left and time.monotonic() < deadline:
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)
        left = processes([job], group)


def _signal(pids: List[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end(grace_s: float) -> None:
    """Send SIGTERM to every running job; return once all have ended or after grace_s seconds.

    The queue starts none until the machine has been off.
    """
    queue.close()
    running = [(job, pid) for job, pid in [(job, job.pid()) for job in every()] if pid is not None]
    for job, pid in running:
        with job.log.open("a") as log:
            log.write("[gpu-box] this machine stops: SIGTERM, so that the job can save\n")
        signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(job.alive() for job, _ in running):
        time.sleep(0.05)
