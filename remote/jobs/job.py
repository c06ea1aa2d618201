"""A job's folder, and what it tells of the job's state.

command     the line that the shell runs          pid         of the command: leader of its own process group
cwd         where                                 birth       of that process: a reused pid has another
log         its standard output and error         supervisor  pid and birth of the supervisor
started     UTC, ISO 8601                         exit        its exit status, 128 + N if signal N ended it
again       the line instead of `command`, where it is started again after an interruption; absent: the same
interrupted Unix time at which AWS told that it takes the machine back, while it ran
resumed     the same of the run before, where this run goes on after that
"""

import re
from typing import Any, Dict, List, Optional

from setup.desired import ROOT
from setup.processes import birth_of
from setup.records import write_atomically

JOBS = ROOT / "jobs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# A job whose end nobody saw (its supervisor was killed with it, or the box stopped): as SIGKILL leaves it.
_UNSEEN_EXIT = 128 + 9


class Refused(Exception):
    """What was asked cannot be done; the text is for the user."""


class Job:
    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise Refused("%r cannot be a job's name: letters, digits, - _ . are fine" % name)
        self.name = name
        self.folder = JOBS / name
        self.log = self.folder / "log"

    def read(self, what: str) -> str:
        try:
            return (self.folder / what).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def write(self, what: str, text: str) -> None:
        write_atomically(self.folder / what, text + "\n")

    @property
    def exists(self) -> bool:
        return (self.folder / "command").exists()

    @property
    def tmux_session(self) -> str:
        return "job-" + re.sub(r"[.:]", "_", self.name)  # tmux gives these two a meaning of their own

    def alive(self) -> bool:
        """Whether the command runs, or its supervisor is about to record how it ended."""
        supervisor, _, birth = self.read("supervisor").partition(" ")
        return _lives(self.read("pid"), self.read("birth")) or _lives(supervisor, birth)

    def pid(self) -> Optional[int]:
        """The command's process, if it lives."""
        return int(self.read("pid")) if _lives(self.read("pid"), self.read("birth")) else None

    def exit_status(self) -> Optional[int]:
        """None while it runs. An end that nobody saw is recorded now."""
        if not self.read("exit") and not self.alive() and not self.read("exit"):
            with self.log.open("a") as log:
                log.write("[gpu-box] the job ended unseen: it was killed, or the box stopped\n")
            self.write("exit", str(_UNSEEN_EXIT))
        return int(self.read("exit")) if self.read("exit") else None

    def describe(self) -> Dict[str, Any]:
        return {
            "name": self.name,
            "command": self.read("command"),
            "started": self.read("started"),
            "exit_status": self.exit_status(),
            "log_bytes": self.log.stat().st_size if self.log.exists() else 0,
        }


def every() -> List[Job]:
    """All jobs that were ever started, by name."""
    names = [path.parent.name for path in sorted(JOBS.glob("*/command"))]
    return [Job(name) for name in names if _NAME.fullmatch(name)]


def existing(name: str) -> Job:
    job = Job(name)
    if not job.exists:
        names = ", ".join(each.name for each in every())
        raise Refused("there is no job %s; there are: %s" % (name, names or "none yet"))
    return job


def _lives(pid: str, birth: str) -> bool:
    return pid.isdigit() and bool(birth) and birth_of(int(pid)) == birth
