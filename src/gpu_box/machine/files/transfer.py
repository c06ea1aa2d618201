"""What is to travel, between `sync`, which decides it, and `rsync`, `sftp` and `stream`, which move it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gpu_box.errors import MachineError
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
    streams: bool = False  # the box can take, or give, many small files in one stream (`stream`)

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)

    def tell(self, percent: int, left_s: float | None) -> None:
        """How far it is, and what is left at the rate of now."""
        left = f", {left_s:.0f} s left" if left_s is not None and left_s >= 1 and percent < 100 else ""
        self.report.update(self.step, f"{percent}% of {self.total_bytes / 1e6:.1f} MB{left}")


def disk_full(host: Host, *, free_bytes: int, needed_bytes: int) -> MachineError:
    wants = f", {needed_bytes / 1e6:.0f} MB are to come" if needed_bytes else ""
    return MachineError(
        f"the disk of {host.name} is full: {free_bytes / 1e6:.0f} MB free{wants}",
        remedy="Make room on it (`gpu-box ssh`), exclude files (sync.exclude), or raise disk.size_gib; "
        "then run the command again: it continues.",
    )


def free_bytes(connection: Connection, transfer: Transfer) -> int:
    """On the disk of its folder there, once it is full: whoever says so does not say how much is left."""
    code = "import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free)"
    command = f"{PYTHON} {quote('-c', code, transfer.there)}"
    result = connection.run(command, check=False, timeout_s=30)
    free = result.stdout.split()[-1:]
    return int(free[0]) if free and re.fullmatch("[0-9]{1,19}", free[0]) else 0
