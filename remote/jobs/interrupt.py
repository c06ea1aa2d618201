"""A spot machine is taken back by AWS: running jobs are told to save, and go on with the next `up`."""

import os
import signal
from typing import Dict, List

from jobs.job import Job, every, is_number
from jobs.start import again
from setup.processes import signal_group


def interrupt(at: float) -> None:
    """SIGTERM to all processes of every job that runs, as Slurm, Kubernetes and torchrun do it.

    at: Unix time of the notice. What ends with 0 after that has done its work; anything else goes on.
    """
    for job in every():
        pid = job.pid()
        if pid is None or job.read("interrupted"):
            continue  # told once is enough: a second signal may end it while it saves
        job.write("interrupted", "%.0f" % at)
        with job.log.open("a") as log:
            log.write("[gpu-box] AWS takes this spot machine back: SIGTERM, so that the job can save\n")
        signal_group(pid, signal.SIGTERM)


def resume(before: float) -> List[Dict[str, str]]:
    """Start again what was interrupted before that moment (Unix time: this machine's last start).

    {"name", "problem"} of each, problem "" where it runs. A job that a person stopped, that failed by itself,
    or that has done its work bears no mark, or ended with 0.
    """
    return [{"name": job.name, "problem": again(job)} for job in every() if _is_due(job, before)]


def _is_due(job: Job, before: float) -> bool:
    marked = job.read("interrupted")
    if not is_number(marked) or int(marked) > before:
        return False
    if job.exit_status() == 0:
        os.unlink(str(job.folder / "interrupted"))
        return False
    return not job.alive()
