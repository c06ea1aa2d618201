"""Where the embedded cloud keeps its things, below gpu-box's data folder. Standard library alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from local_aws.failure import Failure


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
        """Locked by the daemon for as long as it lives; its pid."""
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


def make_private(folder: Path) -> None:
    """Make the folder if there is none, and let its user alone in. Raises Failure for another user's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(folder)
    folder.chmod(0o700)


def read_private(path: Path) -> bytes:
    """Raises FileNotFoundError, and Failure for another user's file: it may have been put there."""
    _require_own(path)
    return path.read_bytes()


def write_private(path: Path, content: bytes) -> None:
    """On disk whole or not at all, and for its user alone."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _require_own(path: Path) -> None:
    if {path.lstat().st_uid, path.stat().st_uid} != {os.getuid()}:
        raise Failure(
            f"{path} belongs to another user",
            remedy="Remove it, or set GPU_BOX_HOME elsewhere.",
            bad_input=True,
        )
