"""The queue: jobs that run one after another, or on a machine with several GPUs one per GPU.

No process runs it: `advance` starts every job whose turn has come. It is called when a job joins, when one
ends, by `up` after an interruption, and by the watcher if jobs wait while none runs, as after a reboot. So
it may be killed at any moment. The order is strict: a job that needs more GPUs than are free is not
overtaken.
"""

import contextlib
import fcntl
import re
import time
from typing import Iterator, List

from jobs.job import JOBS, Job, Refused, every, is_number
from watch.place import systemd, this_start
from watch.read.command import answer, find

_CLOSED = JOBS / ".closed"  # the machine is about to stop: no job may start
_GPUS_WITHIN_S = 20.0


@contextlib.contextmanager
def locked() -> Iterator[None]:
    JOBS.mkdir(parents=True, exist_ok=True)
    with (JOBS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check(gpus: int) -> None:
    """Raises Refused if the machine has fewer."""
    there = count_gpus() if gpus else 0
    if gpus > there:
        has = "no GPU" if there == 0 else "1 GPU" if there == 1 else "%d GPUs" % there
        raise Refused("this box has %s, and --gpus asks for %d" % (has, gpus))


def join(job: Job, gpus: int) -> None:
    """Put the job at the end. gpus: how many it needs; 0: one, if the machine has any."""
    job.write("wants", str(gpus))
    job.write("turn", str(time.time_ns()))


def waiting() -> List[Job]:
    """In their order."""
    return sorted((job for job in every() if job.waiting), key=lambda job: (_turn(job), job.name))


def ahead_of(job: Job) -> List[str]:
    """The jobs of the queue that run, and those that wait before this one."""
    before = waiting()
    names = [each.name for each in before]
    return [each.name for each in _at_work()] + (names[: names.index(job.name)] if job.name in names else [])


def next_ones() -> List[Job]:
    """The jobs whose turn has come, each with its GPUs written down. The caller holds the lock."""
    line = waiting()
    if not line or closed() or _resuming():
        return []
    there, busy = count_gpus(), _at_work()
    taken = {int(card) for job in busy for card in job.read("cards").split(",") if is_number(card)}
    due = []
    for job in line:
        wants = int(job.read("wants")) if is_number(job.read("wants")) else 0
        if wants > there:
            _say_that_it_waits(job, wants, there)
        free = [card for card in range(there) if card not in taken]
        if there == 0 and (wants or busy or due):
            break
        if there and len(free) < max(wants, 1):
            break
        mine = free[: max(wants, 1)]
        taken.update(mine)
        if mine:
            job.write("cards", ",".join(map(str, mine)))
        due.append(job)
    return due


def _say_that_it_waits(job: Job, wants: int, there: int) -> None:
    """In its log, once: after a `resize` it may wait for ever, and those behind it too."""
    with contextlib.suppress(OSError):
        if job.log.stat().st_size == 0:
            job.log.write_text(
                "[gpu-box] it waits: it needs %d GPUs, and this box has %d. `gpu-box resize` changes that; "
                "`gpu-box cancel %s` takes it out of the queue\n" % (wants, there, job.name)
            )


def close() -> None:
    """Start no job of the queue until the machine has been off."""
    if JOBS.is_dir():
        _CLOSED.write_text(this_start())


def closed() -> bool:
    with contextlib.suppress(OSError):
        if _CLOSED.read_text() == this_start():
            return True
    return _shuts_down()


def count_gpus() -> int:
    program = find("nvidia-smi")
    if not program:
        return 0
    try:
        said = answer([program, "-L"], seconds=_GPUS_WITHIN_S)[0]
    except OSError:
        return 0
    return sum(line.startswith("GPU ") for line in said.splitlines())


def _at_work() -> List[Job]:
    return [job for job in every() if job.read("turn") and job.read("started") and job.exit_status() is None]


def _resuming() -> bool:
    """Whether a job of the queue was interrupted by AWS: `up` resumes it, and it goes first."""
    return any(job.read("turn") and job.state() == "interrupted" for job in every())


def _turn(job: Job) -> int:
    return int(job.read("turn")) if re.fullmatch("[0-9]{1,20}", job.read("turn")) else 0


def _shuts_down() -> bool:
    """Whether systemd shuts the machine down: a job that begins now would be lost."""
    if not systemd():
        return False
    with contextlib.suppress(OSError):
        return answer(["systemctl", "is-system-running"], seconds=5.0)[0].strip() == "stopping"
    return False
