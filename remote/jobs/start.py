"""Starts a job: in a tmux window of its own where there is tmux, so that `gpu-box tmux` shows it."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from jobs.job import JOBS, Job, Refused
from setup.desired import REMOTE

_STARTS_WITHIN_S = 10.0
_OF_THE_LAST_RUN = ("exit", "pid", "birth", "supervisor", "log", "started")


def start(name: str, command: str, cwd: str) -> None:
    """Returns once the command runs. Raises Refused while a job of that name does."""
    job = Job(name)
    folder = Path(os.path.expanduser(cwd))
    if not folder.is_dir():
        raise Refused("there is no folder %s on the box" % cwd)
    JOBS.mkdir(parents=True, exist_ok=True)
    with (JOBS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if job.exists and job.alive():
            raise Refused(
                "job %s is running since %s: `gpu-box logs %s` follows it; --name starts another beside it"
                % (name, job.read("started"), name)
            )
        job.folder.mkdir(exist_ok=True)
        for what in _OF_THE_LAST_RUN:
            if (job.folder / what).exists():
                (job.folder / what).unlink()
        job.log.touch()
        job.write("cwd", str(folder))
        job.write("command", command)
        job.write("started", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        _launch(job)
        _wait_until_it_runs(job)


def _launch(job: Job) -> None:
    supervisor = [sys.executable, "-m", "jobs", "supervise", job.name]
    if shutil.which("tmux"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["tmux", "kill-session", "-t", "=" + job.tmux_session], **quiet)
        window = ["tmux", "new-session", "-d", "-s", job.tmux_session, "-n", job.name, "-c", str(REMOTE)]
        if subprocess.run(window + supervisor, **quiet).returncode == 0:
            return
    subprocess.Popen(
        supervisor,
        cwd=str(REMOTE),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_until_it_runs(job: Job) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while not (job.read("pid") or job.read("exit")):
        if time.monotonic() > deadline:
            job.write("exit", "1")
            raise Refused("job %s does not start: see %s" % (job.name, job.log))
        time.sleep(0.02)
