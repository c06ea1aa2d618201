"""What runs on this machine: from /proc, or from ps where there is none (macOS)."""

import os
import subprocess
from pathlib import Path
from typing import Optional

_PROC = Path("/proc/self").exists()


def command_of(pid: int) -> str:
    """Its command line, or "" when it does not live."""
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
    """A text that no other process with that number ever has; None when it does not live (or is a zombie).

    Process numbers start again at each boot, so the boot is part of it.
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


def signal_group(pid: int, number: int) -> bool:
    """Signal its whole process group; False where none is left."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _ps(pid: int, column: str) -> str:
    listed = subprocess.run(
        ["ps", "-p", str(pid), "-o", column], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return listed.stdout.decode("utf-8", "replace").strip()
