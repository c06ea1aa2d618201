"""Jobs under ~/.gpu-box/jobs/NAME/ (command, log, pid, started; exit once done): alive, and using what."""

import os
from typing import Dict, List, Set, Tuple

from ..sample import Job
from .change import Changes
from .people import User
from .processes import Processes, time_since_boot
from .text import read

SLACK = 5.0  # s by which a pid file may be older than its process's start, rounding included


class Jobs:
    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._changes = Changes()
        self._trusted: Dict[str, Tuple[int, float]] = {}  # folder -> (pid, start) found to be the job's

    def read(self, users: List[User], gpu_pids: Set[int], *, mono: float, wall: float) -> Tuple[Job, ...]:
        """Every job that runs."""
        jobs, folders = [], set()
        for folder in self._folders(users):
            pid = self._alive(folder, wall)
            if not pid:
                continue
            folders.add(folder)
            use = self._processes.tree(pid)
            quiet = None
            try:
                log = os.stat(os.path.join(folder, "log"))
                stamp, age = (log.st_size, log.st_mtime_ns), wall - log.st_mtime
                quiet = self._changes.quiet(folder, stamp, mono=mono, age=age)
            except OSError:
                pass  # a job without a log is judged by what it uses
            on_gpu = bool(use.pids & gpu_pids)
            jobs.append(Job(os.path.basename(folder), use.cores, use.bps, on_gpu, quiet))
        self._changes.keep_only(folders)
        return tuple(jobs)

    @staticmethod
    def _folders(users: List[User]) -> List[str]:
        found = []
        for user in users:
            root = os.path.join(user.home, ".gpu-box", "jobs")
            try:
                found += [os.path.join(root, name) for name in sorted(os.listdir(root))]
            except OSError:
                continue  # no jobs yet
        return found

    def _alive(self, folder: str, wall: float) -> int:
        """The pid of a job that runs; 0 when it is done, or its pid is another process's by now."""
        if os.path.exists(os.path.join(folder, "exit")):
            return 0
        path = os.path.join(folder, "pid")
        try:
            pid, written = int(read(path, 32)), os.stat(path).st_mtime
        except (OSError, ValueError):
            return 0
        start = self._processes.start(pid)
        if start is None:
            return 0
        if self._trusted.get(folder) != (pid, start):
            # Decided once: if the clock is set later, the file's age says nothing any more.
            boot = wall - time_since_boot()
            if written < boot + start - SLACK:
                return 0
            self._trusted[folder] = (pid, start)
        return pid
