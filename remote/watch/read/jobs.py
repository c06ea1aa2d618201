"""Jobs under ~/.gpu-box/jobs/NAME/ (command, log, pid, started; exit once done): alive, and using what."""

import contextlib
import os
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from ..sample import Job
from .as_user import acting_as
from .change import Changes
from .people import User
from .processes import Processes, time_since_boot
from .text import names, read, shown

MOST = 10000  # jobs of one user, ended ones included
SLACK = 5.0  # s by which a pid file may be older than its process's start, rounding included


class Claim(NamedTuple):
    """What a job's folder says."""

    folder: str
    pid: int
    written: float  # Unix time of the pid file
    log: Optional[os.stat_result]


class Jobs:
    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._changes = Changes()
        self._trusted: Dict[str, Tuple[int, float]] = {}  # folder -> (pid, start) found to be the job's

    def read(self, users: List[User], gpu_pids: Set[int], *, mono: float, wall: float) -> Tuple[Job, ...]:
        """Every job that runs."""
        jobs, folders = [], set()
        for claim in [claim for user in users for claim in _claims(user)]:
            if not self._is_alive(claim, wall):
                continue
            folders.add(claim.folder)
            use = self._processes.tree(claim.pid)
            quiet = None
            if claim.log:  # a job without a log is judged by what it uses
                stamp, age = (claim.log.st_size, claim.log.st_mtime_ns), wall - claim.log.st_mtime
                quiet = self._changes.quiet(claim.folder, stamp, mono=mono, age=age)
            on_gpu = bool(use.pids & gpu_pids)
            jobs.append(Job(shown(os.path.basename(claim.folder)), use.cores, use.bps, on_gpu, quiet))
        self._changes.keep_only(folders)
        self._trusted = {folder: seen for folder, seen in self._trusted.items() if folder in folders}
        return tuple(jobs)

    def _is_alive(self, claim: Claim, wall: float) -> bool:
        """False when its pid is another process's by now."""
        start = self._processes.start(claim.pid)
        if start is None:
            return False
        if self._trusted.get(claim.folder) != (claim.pid, start):
            # Decided once: if the clock is set later, the file's age says nothing any more.
            boot = wall - time_since_boot()
            if claim.written < boot + start - SLACK:
                return False
            self._trusted[claim.folder] = (claim.pid, start)
        return True


def _claims(user: User) -> List[Claim]:
    """The jobs in a user's folder that have not ended, read as that user."""
    root = os.path.join(user.home, ".gpu-box", "jobs")
    found = []
    with contextlib.suppress(OSError), acting_as(user):  # no jobs yet
        for name in names(root, MOST):
            with contextlib.suppress(OSError, ValueError):
                folder = os.path.join(root, name)
                if os.path.exists(os.path.join(folder, "exit")):
                    continue
                path = os.path.join(folder, "pid")
                pid, written = int(read(path, 32, owner=user.uid)), os.stat(path).st_mtime
                found.append(Claim(folder, pid, written, _status(os.path.join(folder, "log"))))
    return found


def _status(path: str) -> Optional[os.stat_result]:
    try:
        return os.stat(path)
    except OSError:
        return None
