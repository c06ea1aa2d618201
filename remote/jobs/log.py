"""Bounds a job's log: keeps the first and the last part and makes a hole of the middle.

The command writes to the file directly, so it continues without its supervisor, and offsets stay valid: after
a broken connection the laptop resumes at the same byte. The hole takes no disk space; the file `cut` records
it.
"""

import contextlib
import os
import re
import threading
from typing import Iterator, Tuple

from jobs.job import Job

# Bytes. A log takes at most their sum on disk, plus what the command writes between two checks.
FIRST, LAST, STEP = 8 << 20, 48 << 20, 8 << 20
_EVERY_S = 0.1
_LINE = 65536  # bytes searched for the start of a line
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h


def read(job: Job, log: int, at: int, most: int = 65536) -> Tuple[bytes, int]:
    """Read from byte `at` of the open log. Returns (bytes, next offset); the hole reads as one line."""
    piece = os.pread(log, most, at)
    first, last = _cut(job)  # after the read, because a hole made meanwhile reads as zeros
    if at >= last or at + len(piece) <= first:
        return piece, at + len(piece)
    if at < first:
        return piece[: first - at], first
    at_line = at == 0 or os.pread(log, 1, at - 1) == b"\n"
    return _missing(at, last) if at_line else b"\n" + _missing(at + 1, last), last


def bound(job: Job) -> None:
    """Cut the log if it has grown by STEP. Raises OSError, also if the file system does not support holes."""
    size = os.stat(str(job.log)).st_size
    first, last = _cut(job)
    if size - max(last, FIRST) < LAST + STEP:
        return
    log = os.open(str(job.log), os.O_RDWR | os.O_CLOEXEC)
    try:
        first, last = first or _line_start(log, FIRST), _line_start(log, size - LAST)
        before = job.read("cut")
        job.write("cut", "%d %d" % (first, last))  # before the hole, so that no reader sees zeros as text
        try:
            _punch(log, first, last - first)
        except OSError:
            job.write("cut", before)
            raise
        os.pwrite(log, _missing(first, last), first)  # for users who open the file directly
    finally:
        os.close(log)


@contextlib.contextmanager
def bounded(job: Job) -> Iterator[None]:
    """Keep the log bounded while the block runs. Uses a thread, because the tmux window may be slow."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(_EVERY_S):
            with contextlib.suppress(OSError):  # try again at the next check
                bound(job)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(OSError):
            bound(job)


def _cut(job: Job) -> Tuple[int, int]:
    """The hole as (first byte, end); (0, 0) without one."""
    found = re.fullmatch("([0-9]{1,15}) ([0-9]{1,15})", job.read("cut"))
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _missing(at: int, until: int) -> bytes:
    """The line shown for the hole. The laptop parses the two offsets (machine/jobs.py)."""
    text = "[gpu-box] %.1f MB of this log are missing here (bytes %d to %d)\n"
    return (text % ((until - at) / 1e6, at, until)).encode()


def _line_start(log: int, at: int) -> int:
    """The last start of a line before `at`, or `at` if there is none within _LINE bytes."""
    begin = max(0, at - _LINE)
    found = os.pread(log, at - begin, begin).rfind(b"\n")
    return begin + found + 1 if found >= 0 else at


def _punch(log: int, at: int, count: int) -> None:
    """Make a hole with fallocate(2), which Python does not offer."""
    import ctypes  # imported here because it costs memory and time

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "fallocate"):
        raise OSError("this system cannot make holes in files")
    sizes = ctypes.c_int64(at), ctypes.c_int64(count)
    if libc.fallocate(ctypes.c_int(log), ctypes.c_int(_KEEP_SIZE | _PUNCH_HOLE), *sizes) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
