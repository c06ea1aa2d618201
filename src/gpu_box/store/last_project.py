"""The project that was last sent to a box: two projects with the same box name would share ~/work."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gpu_box.files import read_own, write_whole


def other(memory: Path, folder: Path) -> Path | None:
    """The folder of the previous project, if it is another one and still exists. folder: absolute."""
    with suppress(OSError, ValueError):
        path = Path(read_own(memory))
        before = path.parent if path.is_file() else path  # earlier versions kept the path of config.yaml
        if before.is_absolute() and before.is_dir() and before != folder:
            return before
    return None


def remember(memory: Path, folder: Path) -> None:
    with suppress(OSError):
        write_whole(memory, str(folder))
