"""A job's folder, and what it tells of the job's state.

command     the line that the shell runs          pid         of the command: leader of its own process group
cwd         where                                 birth       of that process: a reused pid has another
log         its standard output and error         supervisor  pid and birth of the supervisor
started     UTC, ISO 8601                         exit        its exit status, 128 + N if signal N ended it
again       the line instead of `command`, where it is started again after an interruption; absent: the same
interrupted Unix time at which AWS told that it takes the machine back, while it ran
resumed     the same of the run before, where this run goes on after that
"""

import contextlib
import os
import re
from typing import Any, Dict, List, Optional

from setup.desired import ROOT
from setup.processes import birth_of
from setup.records import write_atomically
from watch.read.text import read

JOBS = ROOT / "jobs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# A job whose end nobody saw (its supervisor was killed with it, or the box stopped): as SIGKILL leaves it.
_UNSEEN_EXIT = 128 + 9
_MOST_BYTES = 1 << 20  # of one of its files but the log; execve(2) takes 128 KiB for one argument


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
        """Its text; "" where it is missing or no plain file (a fifo would hold us for ever)."""
        try:
            return read(str(self.folder / what), _MOST_BYTES).strip()
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
        status = self.read("exit")
        if not status and not self.alive():
            status = self.read("exit") or self._record_unseen_end()
        if not status:
            return None
        return int(status) if re.fullmatch("-?[0-9]{1,3}", status) else _UNSEEN_EXIT

    def _record_unseen_end(self) -> str:
        with contextlib.suppress(OSError):  # a folder that cannot be written has ended all the same
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
            with os.fdopen(os.open(str(self.log), flags, 0o644), "a") as log:
                log.write("[gpu-box] the job ended unseen: it was killed, or the box stopped\n")
            self.write("exit", str(_UNSEEN_EXIT))
        return str(_UNSEEN_EXIT)

    def describe(self) -> Dict[str, Any]:
        return {
            "name": self.name,
            "command": self.read("command"),
            "started": self.read("started"),
            "exit_status": self.exit_status(),
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
    return is_number(pid) and bool(birth) and birth_of(int(pid)) == birth


def is_number(text: str) -> bool:
    """str.isdigit is true for digits that int refuses, and for thousands of them."""
    return re.fullmatch("[0-9]{1,15}", text) is not None
