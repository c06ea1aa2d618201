"""Starts a job: in a tmux window of its own where there is tmux, so that `gpu-box tmux` shows it."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Tuple

from jobs.job import JOBS, Job, Refused
from setup.desired import REMOTE

_STARTS_WITHIN_S = 10.0
_OF_THE_LAST_RUN = ("exit", "pid", "birth", "supervisor", "started", "interrupted", "resumed")
_OF_THE_LAST_START = (*_OF_THE_LAST_RUN, "log", "again")


def start(name: str, command: str, cwd: str, again: str = "") -> None:
    """Returns once the command runs. Raises Refused while a job of that name does.

    again: what to run instead when it goes on after a spot interruption ("": the same).
    """
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
        _forget(job, _OF_THE_LAST_START)
        job.write("cwd", str(folder))
        job.write("command", command)
        if again:
            job.write("again", again)
        _run(job)


def again(job: Job) -> str:
    """Start it once more, its log going on; what is wrong where that cannot be, else ""."""
    if not Path(job.read("cwd")).is_dir():
        return "there is no folder %s on the box" % job.read("cwd")
    with (JOBS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        interrupted = job.read("interrupted")
        if job.alive() or not interrupted:
            return ""  # somebody else was first
        _forget(job, _OF_THE_LAST_RUN)
        if job.read("again"):
            job.write("command", job.read("again"))
        job.write("resumed", interrupted)
        with job.log.open("a") as log:
            log.write("[gpu-box] started again after the spot interruption: %s\n" % job.read("command"))
        try:
            _run(job)
        except Refused as refusal:
            return str(refusal)
    return ""


def _forget(job: Job, files: Tuple[str, ...]) -> None:
    for what in files:
        if (job.folder / what).exists():
            (job.folder / what).unlink()


def _run(job: Job) -> None:
    job.log.touch()
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
