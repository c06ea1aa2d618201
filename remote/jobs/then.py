"""`run --detach --then stop`: the machine stops itself once no job, or process of one, runs or waits.

The request is in .then: the start of the machine in which it was last confirmed, and the jobs that made it.
When the last job has ended, it becomes .stop: that start, and the reason. The watcher reads .stop, records
the reason and powers off. The callers hold the lock of the queue.
"""

import contextlib
from typing import List, Tuple

from jobs.job import JOBS, Job, every, processes
from watch.place import this_start
from watch.read.text import read

_ASKED, _DUE = JOBS / ".then", JOBS / ".stop"
_MOST_BYTES = 1 << 20


def ask(name: str) -> None:
    _confirm([*_askers(but=name), name])


def withdraw(name: str) -> None:
    """The job `name` no longer asks for the stop; others may."""
    if not _ASKED.exists():
        return
    if others := _askers(but=name):
        _confirm(others)
    else:
        _ASKED.unlink()


def settle(*, adding: bool = False) -> None:
    """Make the stop due if the last job has ended. adding: a job is about to start; the stop waits for it.

    A request from before the machine was off holds if jobs still wait. If not, the stop of the machine has
    ended its jobs, and a person who starts it again wants to use it.
    """
    if adding and _DUE.exists():
        start, reason = _read(_DUE)
        if start == this_start():
            ask(reason.partition(" ")[0])
        _DUE.unlink()
    if not _ASKED.exists():
        return
    start, names = _read(_ASKED)
    if any(job.waiting or job.state() in ("running", "interrupted") for job in every()):
        _confirm(names.split())
    elif start != this_start():
        _ASKED.unlink()
    elif not adding and not processes(every()):  # a daemon may work; without work the machine gets idle
        last = max(every(), key=_ended_at, default=None)
        _DUE.write_text("%s %s" % (start, _reason(last) if last else names))
        _ASKED.unlink()


def _askers(*, but: str) -> List[str]:
    return [name for name in _read(_ASKED)[1].split() if name != but]


def _confirm(names: List[str]) -> None:
    _ASKED.write_text(" ".join([this_start(), *names]))


def _ended_at(job: Job) -> int:
    """Finer than the whole seconds of `ended`."""
    with contextlib.suppress(OSError):
        return (job.folder / "exit").stat().st_mtime_ns
    return 0


def _reason(job: Job) -> str:
    return "%s ended with exit status %s, the last job (--then stop)" % (job.name, job.read("exit"))


def _read(path: object) -> Tuple[str, str]:
    """(start of the machine, text); empty if it is missing."""
    with contextlib.suppress(OSError):
        start, _, text = read(str(path), _MOST_BYTES).strip().partition(" ")
        return start, text
    return "", ""
