"""The jobs in ~/.gpu-box/jobs/NAME/ that run (command, log, pid, started; exit once done), what they use, and
those that wait in the queue (turn, not started).
"""

import contextlib
import os
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from ..place import this_start
from ..sample import Job
from .as_user import acting_as
from .change import Changes
from .people import User, may_power_off
from .processes import Processes, time_since_boot
from .text import names, read, shown

MOST = 10000  # jobs of one user, ended ones included
SLACK = 5.0  # s by which a pid file may predate its process's start (rounding)


class Claim(NamedTuple):
    """A job as its folder describes it; the pid may be stale."""

    folder: str
    pid: int
    written: float  # Unix time of the pid file
    log: Optional[os.stat_result]


class Jobs:
    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._changes = Changes()
        self.left_alone: List[User] = []  # users whose queue waits although none of their jobs runs
        self.then = ""  # why the last job that ended asks for a stop of the machine
        self._trusted: Dict[str, Tuple[int, float]] = {}  # folder -> (pid, start) verified as the job's

    def read(self, users: List[User], gpu_pids: Set[int], *, mono: float, wall: float) -> Tuple[Job, ...]:
        """All jobs that run or wait."""
        jobs, folders, self.left_alone, self.then = [], set(), [], ""
        for user in users:
            claims, waiting, asked, then = _claims(user)
            alive = [claim for claim in claims if self._is_alive(claim, wall)]
            if (waiting or asked) and not alive:
                self.left_alone.append(user)
            if then and not self.then and may_power_off(user):
                self.then = then
            jobs += self._running(alive, gpu_pids, mono=mono, wall=wall)
            jobs += [Job(shown(name), queued=True) for name in waiting]
            folders.update(claim.folder for claim in alive)
        if jobs:
            self.then = ""  # another user's job
        self._changes.keep_only(folders)
        self._trusted = {folder: seen for folder, seen in self._trusted.items() if folder in folders}
        return tuple(jobs)

    def _running(self, claims: List[Claim], gpu_pids: Set[int], *, mono: float, wall: float) -> List[Job]:
        jobs = []
        for claim in claims:
            use = self._processes.tree(claim.pid)
            quiet = None
            if claim.log:  # without a log only resource use counts
                stamp, age = (claim.log.st_size, claim.log.st_mtime_ns), wall - claim.log.st_mtime
                quiet = self._changes.quiet(claim.folder, stamp, mono=mono, age=age)
            on_gpu = bool(use.pids & gpu_pids)
            jobs.append(Job(shown(os.path.basename(claim.folder)), use.cores, use.bps, on_gpu, quiet))
        return jobs

    def _is_alive(self, claim: Claim, wall: float) -> bool:
        """False if the job has ended or another process has its pid."""
        start = self._processes.start(claim.pid)
        if start is None:
            return False
        if self._trusted.get(claim.folder) != (claim.pid, start):
            # Decide once: the file's age is meaningless after the clock is set.
            boot = wall - time_since_boot()
            if claim.written < boot + start - SLACK:
                return False
            self._trusted[claim.folder] = (claim.pid, start)
        return True


def _claims(user: User) -> Tuple[List[Claim], List[str], bool, str]:
    """(unfinished jobs, names of those that wait, whether a stop is asked for, why), read as the user."""
    root = os.path.join(user.home, ".gpu-box", "jobs")
    found: List[Claim] = []
    waiting: List[str] = []
    asked, then = False, ""
    with contextlib.suppress(OSError), acting_as(user):  # no jobs yet
        asked, then = os.path.exists(os.path.join(root, ".then")), _then(root, user)
        for name in names(root, MOST):
            with contextlib.suppress(OSError, ValueError):
                folder = os.path.join(root, name)
                if os.path.exists(os.path.join(folder, "exit")):
                    continue
                queued, started = (os.path.exists(os.path.join(folder, each)) for each in ("turn", "started"))
                if queued and not started:
                    waiting.append(name)
                    continue
                path = os.path.join(folder, "pid")
                pid, written = int(read(path, 32, owner=user.uid)), os.stat(path).st_mtime
                found.append(Claim(folder, pid, written, _status(os.path.join(folder, "log"))))
    return found, waiting, asked, then


def _then(root: str, user: User) -> str:
    """The reason in .stop (jobs/then.py), if it was written in this start of the machine."""
    with contextlib.suppress(OSError):
        start, _, reason = read(os.path.join(root, ".stop"), 1000, owner=user.uid).strip().partition(" ")
        return shown(reason) if start == this_start() else ""
    return ""


def _status(path: str) -> Optional[os.stat_result]:
    try:
        return os.stat(path)
    except OSError:
        return None
