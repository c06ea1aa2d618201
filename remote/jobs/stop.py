"""Ends a job: asked first, then made to. Before the machine stops: every job, only asked."""

import signal
import time

from jobs.job import Job, every
from setup.processes import signal_group

_GRACE_S = 10.0


def stop(job: Job, *, grace_s: float = _GRACE_S) -> int:
    """SIGTERM to all of its processes, SIGKILL after grace_s seconds. Returns its exit status."""
    if (job.folder / "interrupted").exists():
        (job.folder / "interrupted").unlink()  # who stops it does not want it to go on
    pid = job.pid()
    if pid is not None:
        signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while job.pid() == pid and time.monotonic() < deadline:
            time.sleep(0.05)
        signal_group(pid, signal.SIGKILL)  # also what it left behind in its group
    deadline = time.monotonic() + 5
    while job.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    status = job.exit_status()
    return -1 if status is None else status


def end(grace_s: float) -> None:
    """SIGTERM to every job that runs; return once all have ended or after grace_s seconds."""
    running = [(job, pid) for job, pid in [(job, job.pid()) for job in every()] if pid is not None]
    for job, pid in running:
        with job.log.open("a") as log:
            log.write("[gpu-box] this machine stops: SIGTERM, so that the job can save\n")
        signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(job.alive() for job, _ in running):
        time.sleep(0.05)
