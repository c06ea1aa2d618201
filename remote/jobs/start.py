"""Starts a job, in its own tmux window if tmux is installed, so that `gpu-box tmux` shows it."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

from jobs import queue, then
from jobs.job import Job, Refused, every, now
from setup.desired import REMOTE
from setup.processes import birth_of, start_in_tmux

_STARTS_WITHIN_S = 30.0
_BEGINS_WITHIN_S = 15.0  # once its supervisor has taken the permit; the laptop waits for a minute in all
_LONGEST = 64  # characters of a name
_OF_THE_LAST_RUN = (
    *("exit", "pid", "birth", "started", "ended", "cancelled"),
    *("interrupted", "resumed", "save"),
)
_OF_THE_LAST_START = (
    *(*_OF_THE_LAST_RUN, "log", "cut", "again"),
    *("turn", "wants", "cards", "session", "pull"),
)
# Variables that a job of the queue needs and that a start at boot does not have.
_OF_THE_SESSION = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TZ")


def start(
    name: str,
    command: str,
    cwd: str,
    again: str = "",
    *,
    queued: bool = False,
    gpus: int = 0,
    number: bool = False,
    then_stop: bool = False,
    pull: Sequence[str] = (),
    check: bool = False,
) -> Dict[str, Any]:
    """Start a job and return once its command runs, or put it into the queue.

    again: the command for a restart after a spot interruption; "": the same. gpus: see `queue.join`. number:
    if there is a job of that name, take the next free one (train-2). then_stop: see `then`. check: only
    refuse what cannot start.

    Returns {"name", "behind": the jobs that it waits for}. Raises Refused if a job of that name runs or
    waits already.
    """
    Job(name)  # refuses an invalid name
    folder = Path(os.path.expanduser(cwd))
    if not folder.is_dir():
        raise Refused("there is no folder %s on the box" % cwd)
    with queue.locked():
        job = Job(_next_name(name) if number else name)
        _refuse_a_second(job)
        queue.check(gpus)
        if check:
            return {"name": job.name, "behind": []}
        then.settle(adding=True)
        job.folder.mkdir(exist_ok=True)
        _claim(job)
        _forget(job, _OF_THE_LAST_START)
        job.write("cwd", str(folder))
        job.write("command", command)
        if again:
            job.write("again", again)
        if pull:
            job.write("pull", json.dumps(list(pull)))
        if then_stop:
            then.ask(job.name)
        if queued:
            job.log.touch()
            session = {each: os.environ[each] for each in _OF_THE_SESSION if each in os.environ}
            job.write("session", json.dumps(session))
            queue.join(job, gpus)
            _start_due()
        else:
            _run(job)
        return {"name": job.name, "behind": queue.ahead_of(job) if job.waiting else []}


def advance() -> bool:
    """Start the jobs of the queue whose turn has come. Returns whether there were any.

    Without any job left, the stop that one has asked for is due.
    """
    with queue.locked():
        started = _start_due()
        then.settle()
        return started


def _start_due() -> bool:
    due = queue.next_ones()
    for job in due:
        with contextlib.suppress(Refused):  # its log and exit status say that it did not start
            _run(job)
    return bool(due)


def _next_name(name: str) -> str:
    taken = {job.name for job in every()}
    several = ("%s-%d" % (name[: _LONGEST - 6], count) for count in range(2, 100000))
    return name if name not in taken else next(each for each in several if each not in taken)


def _refuse_a_second(job: Job) -> None:
    if job.waiting:
        raise Refused(
            "job %s waits in the queue: `gpu-box cancel %s` takes it out; "
            "`gpu-box run --job NAME` names another" % (job.name, job.name)
        )
    if job.exists and job.alive():
        raise Refused(
            "job %s is running since %s: `gpu-box logs %s` follows it; "
            "`gpu-box run --job NAME` starts another beside it" % (job.name, job.read("started"), job.name)
        )


def again(job: Job) -> str:
    """Restart an interrupted job and append to its log. Returns the problem, or ""."""
    if not Path(job.read("cwd")).is_dir():
        return "there is no folder %s on the box" % job.read("cwd")
    with queue.locked():
        interrupted = job.read("interrupted")
        if job.alive() or not interrupted:
            return ""  # another process was faster
        _claim(job)
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


def _claim(job: Job) -> None:
    """Stand in for the supervisor until it writes its own number, so that the job does not look ended."""
    job.write("supervisor", "%d %s" % (os.getpid(), birth_of(os.getpid())))


def _run(job: Job) -> None:
    job.log.touch()
    _claim(job)
    job.write("started", now())
    job.permit.touch()
    supervisor = [sys.executable, "-E", "-m", "jobs", "supervise", job.name]
    start_in_tmux(job.tmux_session, job.name, supervisor, REMOTE)
    _wait_until_it_runs(job)


def _wait_until_it_runs(job: Job) -> None:
    """Raises Refused if the command does not run. The lock of the queue is held meanwhile: never for ever."""
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while not (job.read("pid") or job.read("exit")):
        late = time.monotonic() - deadline
        if not job.alive() and not job.read("pid"):  # the supervisor has given its number and died
            job.exit_status()  # records the end
        # The permit is gone, and nothing shows whether the supervisor that took it is slow or dead.
        elif late > 0 and (job.take_permit() or late > _BEGINS_WITHIN_S):
            job.end(1)
        else:
            time.sleep(0.02)
            continue
        raise Refused("job %s does not start: see %s" % (job.name, job.log))
