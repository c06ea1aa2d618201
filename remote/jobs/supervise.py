"""Runs a job's command to its end and records how it ended; shows its log in the window where it sits."""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Dict, Optional

from jobs.job import Job
from setup.desired import VENV
from setup.processes import birth_of, signal_group
from watch import notices
from watch.signals import spell

_SHOWN_EVERY_S = 0.1
# What reaches the window is meant for the job: Ctrl-C, `tmux kill-session`, a closing terminal.
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(name: str) -> int:
    job = Job(name)
    job.write("supervisor", "%d %s" % (os.getpid(), birth_of(os.getpid())))
    shell = shutil.which("bash") or "/bin/sh"
    # The log itself is the command's output, no pipe of ours: it goes on should the supervisor be killed.
    with job.log.open("ab") as log:
        try:
            process = subprocess.Popen(
                [shell, "-c", job.read("command")],
                cwd=job.read("cwd"),
                env=_environment(job),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            log.write(("[gpu-box] cannot start: %s\n" % error).encode())
            job.write("exit", "126")
            return 126

    def pass_on(number: int, frame: Optional[FrameType]) -> None:
        signal_group(process.pid, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    job.write("birth", birth_of(process.pid) or "ended")
    job.write("pid", str(process.pid))
    started = time.monotonic()
    status = _show_until_it_ends(job, process)
    status = status if status >= 0 else 128 - status
    job.write("exit", str(status))
    if not job.read("interrupted"):  # the watcher has told of that
        notices.begin(
            "job", "%s: exit status %d after %s" % (name, status, spell(time.monotonic() - started))
        )
    return 0


def _environment(job: Job) -> Dict[str, str]:
    """GPU_BOX_RESUMED tells a command that it goes on after an interruption."""
    path = os.pathsep.join([str(VENV / "bin"), os.environ.get("PATH", os.defpath)])
    ours = {"PATH": path, "VIRTUAL_ENV": str(VENV), "PYTHONUNBUFFERED": "1", "GPU_BOX_JOB": job.name}
    if job.read("resumed"):
        ours["GPU_BOX_RESUMED"] = "1"
    return dict(os.environ, **ours)


def _show_until_it_ends(job: Job, process: "subprocess.Popen[bytes]") -> int:
    window: Optional[int] = sys.stdout.fileno()
    with job.log.open("rb") as log:
        while True:
            status = process.poll()
            piece = log.read(65536)
            if piece and window is not None:
                try:
                    os.write(window, piece)
                except OSError:
                    window = None  # it was closed; the job goes on
            if status is not None and not piece:
                return status
            if not piece:
                time.sleep(_SHOWN_EVERY_S)
