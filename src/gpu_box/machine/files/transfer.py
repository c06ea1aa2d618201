"""The files to transfer, chosen by `sync` and moved by `rsync`, `sftp` or `stream`."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from gpu_box.errors import GpuBoxError, MachineError
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import PYTHON, quote
from gpu_box.model.machine import Host
from gpu_box.model.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """here, there: the two folders, absolute; entries: relative to both. up: from here to there."""

    here: Path
    there: str
    entries: tuple[Entry, ...]
    up: bool
    report: Reporter
    step: str
    whole: bool = False  # leave out files that change on the box while they are read
    failed: dict[str, str] = field(default_factory=dict)  # path -> why this file was not copied

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)

    def show(self, percent: int, left_s: float | None) -> None:
        """Report the progress, and the time left at the current rate."""
        left = f", {left_s:.0f} s left" if left_s is not None and left_s >= 1 and percent < 100 else ""
        self.report.update(self.step, f"{percent}% of {self.total_bytes / 1e6:.1f} MB{left}")


def disk_full(host: Host, *, free_bytes: int, needed_bytes: int) -> MachineError:
    wants = f", {needed_bytes / 1e6:.0f} MB needed" if needed_bytes else ""
    return MachineError(
        f"the disk of {host.name} is full: {free_bytes / 1e6:.0f} MB free{wants}",
        remedy="Make room on it (`gpu-box ssh`), exclude files (sync.exclude), or raise disk.size_gib; "
        "then run the command again: it continues.",
    )


def local_disk_full(error: OSError, folder: Path) -> GpuBoxError | None:
    """What a failed write here means if this computer's disk is full, or the user's part of it."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return GpuBoxError(
        f"this disk is full: {os.strerror(error.errno)}",
        where=str(folder),
        remedy="Make room, then run the command again: it continues.",
    )


def free_bytes(connection: Connection, transfer: Transfer) -> int:
    """Free bytes on the disk of the box's folder, which errors about a full disk do not include."""
    code = "import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free)"
    command = f"{PYTHON} {quote('-c', code, transfer.there)}"
    result = connection.run(command, check=False, timeout_s=30)
    free = result.stdout.split()[-1:]
    return int(free[0]) if free and re.fullmatch("[0-9]{1,19}", free[0]) else 0
