"""Where the embedded cloud keeps its things, below gpu-box's data folder. Standard library alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Files:
    home: Path  # $GPU_BOX_HOME or ~/.local/share/gpu-box

    @property
    def folder(self) -> Path:
        return self.home / "embedded"

    @property
    def card(self) -> Path:
        """What the daemon tells of itself: pid, port, started. Kept after it ended: the port is for life."""
        return self.folder / "daemon.json"

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials.json"

    @property
    def life(self) -> Path:
        """Locked by the daemon for as long as it lives."""
        return self.folder / "daemon.lock"

    @property
    def birth(self) -> Path:
        """Locked by whoever starts or stops the daemon, so that two of them take turns."""
        return self.folder / "start.lock"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def machines(self) -> Path:
        return self.folder / "machines"
