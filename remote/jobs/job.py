"""A job's folder and its files.

command     the shell command line
cwd         its working directory
pid         of the command, leader of its process group
birth       identifies that process even if its pid is reused
supervisor  pid and birth of the supervisor, at first of the process that starts it
permit      until the supervisor takes it and begins, or `start` takes it and gives up
log         the command's standard output and error
started     UTC, ISO 8601
ended       the same
turn        its place in the queue; while `started` is missing, it waits
wants       how many GPUs it needs; 0: one, if there is any
cards       the GPUs that it was given: "0,1"
session     JSON: PATH and the like of the session that put it into the queue
pull        JSON: the patterns of files to copy to the laptop
exit        its exit status, 128 + N after signal N
cancelled   a person ended it
cut         "FIRST LAST": these bytes of a long log are a hole (see `log`); absent: no hole
again       the command line for a restart after an interruption; absent: the same as `command`
interrupted Unix time of AWS's interruption notice during this run
save        changes at AWS's rebalance recommendation: time to save
resumed     `interrupted` of the run that this run continues
"""

import contextlib
import os
import re
import time
from typing import List, Optional, Union

from setup.desired import ROOT
from setup.processes import birth_of, command_of, running
from setup.records import write_atomically
from watch.read.text import read

JOBS = ROOT / "jobs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST_NAME = 64
# The supervisor died with the job, or the box stopped: record it as SIGKILL.
_UNSEEN_EXIT = 128 + 9
_MOST_BYTES = 1 << 20  # of each file except the log
_LONGEST_ARGUMENT = (1 << 17) - 1  # bytes; execve(2), MAX_ARG_STRLEN with its NUL


class Refused(Exception):
    """The request cannot be fulfilled; the text is for the user."""


class Job:
    def __init__(self, name: str) -> None:
        if len(name) > _LONGEST_NAME:
            raise Refused(
                "a job's name has at most %d characters; this one has %d" % (_LONGEST_NAME, len(name))
            )
        if not _NAME.fullmatch(name):
            raise Refused(
                "%r cannot be a job's name: begin with a letter (A-Z) or digit; more of these, - _ . follow"
                % name
            )
        self.name = name
        self.folder = JOBS / name
        self.log = self.folder / "log"
        self.permit = self.folder / "permit"

    def read(self, what: str) -> str:
        """The file's text; "" if it is missing or not a regular file (a FIFO would block)."""
        try:
            return read(str(self.folder / what), _MOST_BYTES).strip()
        except OSError:
            return ""

    def write(self, what: str, text: str) -> None:
        # Bytes that are no UTF-8, as json reads them, stay the same.
        write_atomically(self.folder / what, (text + "\n").encode("utf-8", "surrogateescape"))

    def arguments(self, shell: str) -> List[Union[str, bytes]]:
        """The command for the shell, which reads one that is too long for an argument from its file."""
        path = self.folder / "command"
        command = path.read_bytes().strip()
        if len(command) <= _LONGEST_ARGUMENT:
            return [shell, "-c", command]
        return [shell, "-c", '. "$1"', shell, str(path)]

    @property
    def exists(self) -> bool:
        return (self.folder / "command").exists()

    @property
    def tmux_session(self) -> str:
        return "job-" + re.sub(r"[.:]", "_", self.name)  # both are special to tmux

    def alive(self) -> bool:
        """Whether the command runs, or its supervisor is about to record its exit status."""
        before, supervisor = "", self.read("supervisor")
        while supervisor != before:  # the one that starts it may have handed over, and ended, since the read
            number, _, birth = supervisor.partition(" ")
            if _lives(self.read("pid"), self.read("birth")) or _lives(number, birth):
                return True
            before, supervisor = supervisor, self.read("supervisor")
        return _lives(self.read("pid"), self.read("birth"))

    def pid(self) -> Optional[int]:
        """The command's pid if it runs."""
        return int(self.read("pid")) if _lives(self.read("pid"), self.read("birth")) else None

    def take_permit(self) -> bool:
        """Whether the caller is the one that takes it."""
        with contextlib.suppress(FileNotFoundError):
            self.permit.unlink()
            return True
        return False

    def exit_status(self) -> Optional[int]:
        """The exit status, None while it waits or runs. Records an end that the supervisor did not."""
        status = self.read("exit")
        if not status and not self.waiting and not self.alive():
            status = self.read("exit") or self._record_unseen_end()
        if not status:
            return None
        return int(status) if re.fullmatch("-?[0-9]{1,3}", status) else _UNSEEN_EXIT

    @property
    def waiting(self) -> bool:
        return bool(self.read("turn")) and not (self.read("started") or self.read("exit"))

    def state(self) -> str:
        """waiting, running, done, failed, cancelled, or interrupted by AWS and not resumed yet."""
        if self.waiting:
            return "waiting"
        status = self.exit_status()
        if status is None:
            return "running"
        if self.read("cancelled"):
            return "cancelled"
        if status == 0:
            return "done"
        return "interrupted" if self.read("interrupted") else "failed"

    def end(self, status: int) -> None:
        self.write("ended", now())
        self.write("exit", str(status))

    def _record_unseen_end(self) -> str:
        with contextlib.suppress(OSError):
            self.write("ended", _iso(self.log.stat().st_mtime))  # about: its last output
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
            with os.fdopen(os.open(str(self.log), flags, 0o644), "a") as log:
                log.write("[gpu-box] the job was killed, or the box stopped\n")
            self.write("exit", str(_UNSEEN_EXIT))
        return str(_UNSEEN_EXIT)


def every() -> List[Job]:
    """All jobs, running and ended, sorted by name."""
    names = [path.parent.name for path in sorted(JOBS.glob("*/command"))]
    return [Job(name) for name in names if _NAME.fullmatch(name)]


def existing(name: str) -> Job:
    job = Job(name)
    if not job.exists:
        names = ", ".join(each.name for each in every())
        raise Refused("there is no job %s; jobs: %s" % (name, names or "none yet"))
    return job


def processes(jobs: List[Job], group: Optional[int] = None) -> List[int]:
    """The jobs' processes: also those that left their process group, which a daemon does.

    group: that of a single job. Of an ended job it is not known: another program may have the number now.
    """
    # Not the names, which may be another machine's, too.
    found = running("GPU_BOX_SAVE", {str(job.folder / "save") for job in jobs}, group)
    # The supervisor of another job inherits the variable if this job started the tmux server.
    return [pid for pid in found if " -m jobs supervise " not in command_of(pid)]


def now() -> str:
    return _iso(time.time())


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _lives(pid: str, birth: str) -> bool:
    return is_number(pid) and bool(birth) and birth_of(int(pid)) == birth


def is_number(text: str) -> bool:
    """Whether it is an int of at most 15 digits; str.isdigit also accepts digits that int refuses."""
    return re.fullmatch("[0-9]{1,15}", text) is not None
