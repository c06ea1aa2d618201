"""Run a program that may hang: bounded time and output, and never a wait for one that cannot be killed."""

import contextlib
import os
import select
import signal
import time
from typing import List

MOST = 1 << 20  # bytes of output
_unkillable: List[int] = []  # children in uninterruptible sleep (a wedged driver), to be reaped when they end


def run(argv: List[str], *, seconds: float) -> str:
    """Its standard output. TimeoutError when it hangs, OSError when it cannot run or fails.

    `subprocess` is not used: it costs 2 MB of memory and waits for a killed child, for ever if need be.
    """
    _unkillable[:] = [pid for pid in _unkillable if not _ended(pid)]
    if len(_unkillable) >= 3:
        raise TimeoutError("earlier calls still hang and cannot be killed")
    reader, writer = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        env = dict(os.environ, LC_ALL="C")
        pid = os.posix_spawnp(argv[0], argv, env, file_actions=actions, setpgroup=0)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        output, status = _collect(pid, reader, time.monotonic() + seconds)
    except TimeoutError:
        raise TimeoutError("%s hangs (%.0f s)" % (os.path.basename(argv[0]), seconds)) from None
    finally:
        os.close(reader)
    if status:
        raise OSError("%s failed (status %d)" % (os.path.basename(argv[0]), status >> 8 or status))
    return output.decode("utf-8", "replace")


def find(name: str) -> str:
    """The program's path, or "" when there is none ("shutil" would cost another 1 MB)."""
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return ""


def _collect(pid: int, reader: int, deadline: float) -> "tuple[bytes, int]":
    chunks: List[bytes] = []
    size, open_ = 0, True
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            _kill(pid)
            raise TimeoutError
        if open_ and select.select([reader], [], [], left)[0]:
            chunk = os.read(reader, 65536)
            open_ = bool(chunk) and size < MOST
            size += len(chunk)
            chunks.append(chunk)
        elif not open_:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return b"".join(chunks), status
            time.sleep(0.005)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    time.sleep(0.02)
    if not _ended(pid):
        _unkillable.append(pid)


def _ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
