"""Runs programs that may hang, with bounded time and output, without waiting for unkillable ones."""

import contextlib
import os
import select
import signal
import time
from typing import Dict, List, Optional, Tuple

from .people import User

MOST = 1 << 20  # bytes of output
STUCK = 3  # unkillable calls of one program after which it is not called again
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as systemd gives it to services
# Children in uninterruptible sleep (a hung driver) by program, to be reaped when they end.
_unkillable: Dict[str, List[int]] = {}


def run(argv: List[str], *, seconds: float, always: bool = False) -> str:
    """Run a program and return its standard output.

    Raises TimeoutError if it hangs, OSError if it cannot run or fails. always: run even if earlier calls
    hang.
    """
    output, status = answer(argv, seconds=seconds, always=always)
    if status:
        raise OSError("%s failed (status %d)" % (os.path.basename(argv[0]), status))
    return output


def answer(argv: List[str], *, seconds: float, always: bool = False) -> Tuple[str, int]:
    """Like `run`, but return (standard output, exit status or the signal's number) also after a failure.

    Avoids `subprocess`, which costs 2 MB of memory and waits for a killed child without limit.
    """
    stuck = _unkillable[argv[0]] = [pid for pid in _unkillable.get(argv[0], []) if ended(pid) is None]
    if len(stuck) >= STUCK and not always:
        raise TimeoutError("earlier calls still hang and cannot be killed")
    reader, writer = os.pipe()
    try:
        pid = _spawn(argv, writer)
    except ValueError as error:  # a NUL in an argument
        os.close(reader)
        raise OSError("%s: %s" % (argv[0], error)) from None
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        output, status = _collect(pid, reader, time.monotonic() + seconds)
    except TimeoutError:
        if not kill(pid):
            stuck.append(pid)
        raise TimeoutError("%s hangs (%.0f s)" % (os.path.basename(argv[0]), seconds)) from None
    finally:
        os.close(reader)
    return output.decode("utf-8", "replace"), status >> 8 or status


def start(argv: List[str], *, user: Optional[User] = None, folder: str = "/") -> int:
    """Start a program in its own session without input and output. Returns its pid; `ended` reaps it.

    With another user it gets that user's ids, groups and a clean environment. Raises OSError if the program
    is not found.
    """
    # subprocess accepts a user only from Python 3.9, posix_spawn(3) not at all.
    other = user if user is not None and user.uid != os.geteuid() else None
    program = argv[0] if os.path.isabs(argv[0]) else find(argv[0])
    if not program:
        raise OSError("no %s" % argv[0])
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for target in (0, 1, 2):
            os.dup2(null, target)
        os.closerange(3, 1024)  # exec closes only Python's own
        for number in (signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if other is not None:
            _become(other)
        os.chdir(folder)
        os.execve(program, argv, dict(os.environ) if other is None else _environment(other))
    except BaseException:
        pass
    finally:
        os._exit(127)


def wait(pids: List[int], seconds: float) -> Dict[int, Optional[int]]:
    """Wait until all have ended, `seconds` at most. Returns each pid's wait status; None: still running."""
    end = time.monotonic() + seconds
    found: Dict[int, Optional[int]] = dict.fromkeys(pids)
    while True:
        found.update({pid: ended(pid) for pid, status in found.items() if status is None})
        if None not in found.values() or time.monotonic() >= end:
            return found
        time.sleep(0.02)


def finish(pids: List[int], seconds: float) -> Dict[int, Optional[int]]:
    """Like `wait`, then kill those that still run."""
    found = wait(pids, seconds)
    for pid, status in found.items():
        if status is None:
            kill(pid)
    return found


def ended(pid: int) -> Optional[int]:
    """The wait status of an ended child, -1 if already reaped, None while it runs."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
        return status if done else None
    except ChildProcessError:
        return -1


def kill(pid: int) -> bool:
    """Kill the child and its process group. Returns whether the child has ended."""
    for send in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            send(pid, signal.SIGKILL)
    time.sleep(0.02)
    return ended(pid) is not None


def find(name: str) -> str:
    """The program's path, or "" if not found. Avoids shutil, which costs 1 MB of memory."""
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return ""


def _spawn(argv: List[str], writer: int) -> int:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writer, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    env = dict(os.environ, LC_ALL="C")
    return os.posix_spawnp(argv[0], argv, env, file_actions=actions, setpgroup=0)


def _become(user: User) -> None:
    """Switch this process to the user for good. Needs root."""
    # Children must not inherit the watcher's OOM protection (proc_pid_oom_score_adj(5)).
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")
    os.initgroups(user.name, user.gid)
    os.setgid(user.gid)
    os.setuid(user.uid)


def _environment(user: User) -> Dict[str, str]:
    return {"PATH": PATH, "HOME": user.home, "LOGNAME": user.name, "USER": user.name, "LC_ALL": "C.UTF-8"}


def _collect(pid: int, reader: int, deadline: float) -> "tuple[bytes, int]":
    chunks: List[bytes] = []
    size, open_ = 0, True
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if open_ and select.select([reader], [], [], left)[0]:
            chunk = os.read(reader, 65536)
            open_ = bool(chunk) and size < MOST
            size += len(chunk)
            chunks.append(chunk)
        elif not open_:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return b"".join(chunks), status
            time.sleep(0.005)
