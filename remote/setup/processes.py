"""Processes of this machine, from /proc or, on macOS, from ps."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Container, List, Optional

_PROC = Path("/proc/self").exists()


def command_of(pid: int) -> str:
    """The process's command line, or "" if it does not run."""
    if not _PROC:
        return _ps(pid, "args=")
    try:
        return (
            Path("/proc/%d/cmdline" % pid)
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
            .strip()
        )
    except OSError:
        return ""


def birth_of(pid: int) -> Optional[str]:
    """A text that identifies the process even if its pid is reused; None if it does not run or is a zombie.

    It includes the boot id, because pids start again at each boot.
    """
    if not _PROC:
        return _ps(pid, "lstart=") or None
    try:
        after_name = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # proc_pid_stat(5): field 3 is the state, field 22 the start in clock ticks since the boot
    return None if after_name[0] in "ZX" else boot + " " + after_name[19]


def environment_of(pid: int, name: str) -> str:
    """The value of a variable in the process's environment at its start; "" if unset or unreadable."""
    try:
        found = Path("/proc/%d/environ" % pid).read_bytes().split(b"\0")
    except OSError:
        return ""
    values = [each.partition(b"=")[2] for each in found if each.startswith(name.encode() + b"=")]
    return values[0].decode("utf-8", "replace") if values else ""


def running(name: str, values: Container[str], group: Optional[int] = None) -> List[int]:
    """The processes with one of these values of NAME, or of this process group; without /proc none."""
    found = []
    for pid in sorted(int(each) for each in os.listdir("/proc") if each.isdigit()) if _PROC else ():
        try:
            grouped = group is not None and os.getpgid(pid) == group
        except OSError:
            continue
        if (grouped or environment_of(pid, name) in values) and pid != os.getpid() and birth_of(pid):
            found.append(pid)
    return found


def signal_group(pid: int, number: int) -> bool:
    """Signal the whole process group. False if it has ended."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def start_in_tmux(session: str, window: str, command: List[str], cwd: Path) -> None:
    """Start it in a tmux session of this name, in place of an earlier one; without tmux detached."""
    end_in_tmux(session)
    if _tmux("new-session", "-d", "-s", session, "-n", window, "-c", str(cwd), *command):
        return
    nowhere = subprocess.DEVNULL
    subprocess.Popen(
        command, cwd=str(cwd), stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
    )


def end_in_tmux(session: str) -> None:
    _tmux("kill-session", "-t", "=" + session)


def _tmux(*words: str) -> bool:
    """False if it fails or is missing."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return shutil.which("tmux") is not None and subprocess.run(["tmux", *words], **quiet).returncode == 0


def _ps(pid: int, column: str) -> str:
    listed = subprocess.run(
        ["ps", "-p", str(pid), "-o", column], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return listed.stdout.decode("utf-8", "replace").strip()
