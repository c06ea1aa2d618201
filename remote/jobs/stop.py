"""Ends a job: asked first, then made to."""

import signal
import time

from jobs.job import Job
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
