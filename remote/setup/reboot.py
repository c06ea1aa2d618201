"""The reboot that the NVIDIA driver may need: never twice for one reason, never under running work."""

import glob
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import List

from setup import card, processes, records, watcher
from setup.root import as_root
from setup.session import Failed

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_WORK = {
    "a job": re.compile(r" -m jobs supervise "),
    "a notebook's kernel": re.compile(r"ipykernel|ir-kernel|IRkernel"),
}


def reason() -> str:
    """Why the driver needs a reboot; "" if it runs or a reboot would not help."""
    if watcher.shares_its_host() or not card.present():
        return ""
    loaded, on_disk = card.module_version(), card.library_version()
    if loaded:
        if on_disk in (None, loaded):
            return ""
        return "the NVIDIA driver was updated from %s to %s under the running kernel" % (loaded, on_disk)
    running, coming = platform.release(), card.next_kernel()
    if coming == running:
        return ""
    built = card.kernels_with_module()
    if coming in built and running not in built:
        return "the NVIDIA driver's module is for kernel %s, and %s runs" % (coming, running)
    return ""


def wanted() -> str:
    """The reason, or "" if this machine was already rebooted for it."""
    why, record = reason(), records.read("reboot")
    tried = why and record is not None and record["line"] == why and record["fingerprint"] != boot()
    return "" if tried else why


def boot() -> str:
    """The boot id."""
    return _BOOT.read_text().strip()


def begin() -> None:
    """Reboot this machine. Raises Failed without a reason or if work would be lost."""
    why, prefix = wanted(), as_root()
    if not why or prefix is None:
        raise Failed("no reboot is needed, or sudo is not allowed")
    if work := running_work():
        raise Failed("%s: a reboot is needed, but %s is running" % (why, " and ".join(work)))
    records.write("reboot", boot(), why)
    status = subprocess.run([*prefix, "systemctl", "reboot"]).returncode
    if status > 0:
        raise Failed("%s: a reboot is needed, and `systemctl reboot` failed (exit status %d)" % (why, status))


def running_work() -> List[str]:
    """The work that a reboot would end, such as ["a job"]."""
    pids = _own_processes()
    commands = [processes.command_of(pid) + " " for pid in pids]
    found = [what for what, pattern in _WORK.items() if any(map(pattern.search, commands))]
    return found + ["a program on the card"] * any(map(_uses_card, pids))


def _own_processes() -> List[int]:
    return [int(path[len("/proc/") :]) for path in glob.glob("/proc/[0-9]*") if _is_own(path)]


def _is_own(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.getuid()
    except OSError:  # it has just ended
        return False


def _uses_card(pid: int) -> bool:
    return any(_target(path).startswith("/dev/nvidia") for path in glob.glob("/proc/%d/fd/*" % pid))


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
