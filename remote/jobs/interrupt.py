"""Spot interruption: running jobs get SIGTERM to save, and resume at the next `up`."""

import contextlib
import os
import signal
from typing import Dict, List

from jobs import queue
from jobs.job import Job, every, is_number
from jobs.start import advance, again
from setup.processes import signal_group


def interrupt(at: float) -> None:
    """Send SIGTERM to all processes of every running job, as Slurm, Kubernetes and torchrun do.

    at: Unix time of the notice. A job that then ends with 0 is finished; any other resumes.
    """
    queue.close()
    for job in every():
        pid = job.pid()
        if pid is None or job.read("interrupted"):
            continue  # a second signal could end it while it saves
        job.write("interrupted", "%.0f" % at)
        with job.log.open("a") as log:
            log.write("[gpu-box] AWS reclaims this spot machine: SIGTERM, so that the job can save\n")
        signal_group(pid, signal.SIGTERM)


def at_risk(at: float) -> None:
    """Change the file $GPU_BOX_SAVE of every running job, so that it can save and continue.

    at: Unix time of AWS's rebalance recommendation. A signal would end most programs.
    """
    for job in every():
        if job.pid() is not None:
            job.write("save", "%.0f" % at)
            with job.log.open("a") as log:
                log.write("[gpu-box] AWS may reclaim this spot machine soon: $GPU_BOX_SAVE has changed\n")


def resume(before: float) -> List[Dict[str, str]]:
    """Restart the jobs interrupted before `before` (Unix time: this machine's last start).

    Returns {"name", "problem"} for each; problem is "" if it runs. Jobs that a person cancelled, that failed
    by themselves or that ended with 0 are not restarted. Then the queue goes on.
    """
    due = [job for job in every() if _is_due(job, before)]
    found = []
    for job in due:
        problem = again(job)
        if problem:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(str(job.folder / "interrupted"))  # it holds up the queue no longer
        found.append({"name": job.name, "problem": problem})
    if found or queue.waiting():
        advance()
    return found


def _is_due(job: Job, before: float) -> bool:
    marked = job.read("interrupted")
    if not is_number(marked) or int(marked) > before:
        return False
    if job.exit_status() == 0:
        os.unlink(str(job.folder / "interrupted"))
        return False
    return not job.alive()
