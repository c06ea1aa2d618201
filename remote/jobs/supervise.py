"""Runs a job's command, shows its log in the tmux window and records its exit status."""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Dict, List, Optional

from jobs import queue, start, stop
from jobs.job import Job
from jobs.log import bounded, read
from setup import variables
from setup.desired import HOME, python_environment
from setup.processes import birth_of, signal_group
from watch import notices
from watch.read.text import values
from watch.signals import spell

_SHOWN_EVERY_S = 0.1
# Signals from the window (Ctrl-C, `tmux kill-session`, a closed terminal) are for the job.
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(name: str) -> int:
    job = Job(name)
    if not job.take_permit():
        return 1
    os.environ.update(_session(job))
    job.write("supervisor", "%d %s" % (os.getpid(), birth_of(os.getpid())))
    if job.read("exit"):
        return 1  # `start` has given up
    shell = shutil.which("bash") or "/bin/sh"
    # The command writes to the log directly, so it continues if the supervisor is killed.
    with job.log.open("ab") as log:
        try:
            process = subprocess.Popen(
                job.arguments(shell),
                cwd=job.read("cwd"),
                env=_environment(job),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in the command
            log.write(("[gpu-box] cannot start: %s\n" % error).encode())
            job.end(126)
            start.advance()
            return 126
    received: List[int] = []

    def pass_on(number: int, frame: Optional[FrameType]) -> None:
        received.append(number)
        # A shutdown closes the window, too, maybe before systemd's SIGTERM arrives: the job can still save.
        signal_group(process.pid, signal.SIGTERM if number == signal.SIGHUP else number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    job.write("birth", birth_of(process.pid) or "ended")
    job.write("pid", str(process.pid))
    began = time.monotonic()
    status = _show_until_it_ends(job, process)
    status = status if status >= 0 else 128 - status
    said = stop.left_behind(job)
    if said:
        with job.log.open("a") as more:
            more.write(said)
    job.end(status)
    if not job.read("interrupted"):  # the watcher has sent that notice
        notices.begin("job", _ending(job, status, time.monotonic() - began))
    # A shutdown ends jobs and windows in any order, and a job that begins now would be lost: the watcher
    # goes on with the queue, if there is one in a minute.
    ended_by = {signal.SIGTERM, signal.SIGHUP} & {*received, status - 128}
    if not ended_by or job.read("cancelled"):
        start.advance()
    return 0


def _ending(job: Job, status: int, took: float) -> str:
    """For the webhook."""
    how = "cancelled" if job.read("cancelled") else "exit status %d" % status
    waits = len(queue.waiting())
    more = "; %d more %s in the queue" % (waits, "waits" if waits == 1 else "wait") if waits else ""
    return "%s: %s after %s%s" % (job.name, how, spell(took), more)


def _session(job: Job) -> Dict[str, str]:
    """Variables of the session that put it into the queue."""
    try:
        found = values(job.read("session"))
    except ValueError:
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _environment(job: Job) -> Dict[str, str]:
    """GPU_BOX_RESUMED is set after an interruption. GPU_BOX_SAVE: see `interrupt.at_risk`.

    TORCH_ELASTIC_SHUTDOWN_TIMEOUT: by default torchrun gives its workers only 30 s after SIGTERM, of the two
    minutes that EC2's notice leaves.
    """
    ours = {**python_environment(), "PYTHONUNBUFFERED": "1", "GPU_BOX_JOB": job.name}
    ours["GPU_BOX_SAVE"] = str(job.folder / "save")
    ours["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "120")
    temporary = HOME / "scratch" / "tmp"
    if "TMPDIR" not in os.environ and temporary.parent.is_symlink() and os.access(str(temporary), os.W_OK):
        ours["TMPDIR"] = str(temporary)  # as setup/shell.sh
    if job.read("cards"):
        # As nvidia-smi numbers them, which CUDA by itself does not.
        ours.update(CUDA_VISIBLE_DEVICES=job.read("cards"), CUDA_DEVICE_ORDER="PCI_BUS_ID")
    if job.read("resumed"):
        ours["GPU_BOX_RESUMED"] = "1"
    return {**os.environ, **variables.values(), **ours}


def _show_until_it_ends(job: Job, process: "subprocess.Popen[bytes]") -> int:
    window: Optional[int] = sys.stdout.fileno()
    at = 0
    with job.log.open("rb") as log, bounded(job):
        while True:
            status = process.poll()
            piece, at = read(job, log.fileno(), at)
            if piece and window is not None:
                try:
                    os.write(window, piece)
                except OSError:
                    window = None  # closed; the job continues
            if status is not None and not piece:
                return status
            if not piece:
                time.sleep(_SHOWN_EVERY_S)
