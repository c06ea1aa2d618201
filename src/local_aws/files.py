"""The embedded cloud's files below gpu-box's data folder. Standard library alone."""

from __future__ import annotations

import os
import stat
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
        """The daemon's pid, port and start time. Kept after it ends: the port stays the same."""
        return self.folder / "daemon.json"

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials.json"

    @property
    def life(self) -> Path:
        """Its lock, held while the daemon lives; contains its pid."""
        return self.folder / "daemon.lock"

    @property
    def birth(self) -> Path:
        """Its lock, held while a process starts or stops the daemon."""
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
    """Make the folder if it is missing, for its user alone. Raises Failure if another user owns it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(folder)
    folder.chmod(0o700)


def read_private(path: Path) -> bytes:
    """Raises FileNotFoundError, and Failure for a file that another user owns or can write."""
    _require_own(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) or mode & 0o022:
            raise Failure(
                f"{path} can be written by others" if stat.S_ISREG(mode) else f"{path} is no regular file",
                remedy="Remove it: `gpu-box --local up` begins anew.",
                bad_input=True,
            )
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Write the file atomically, readable by its user alone."""
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
