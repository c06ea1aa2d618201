"""The size of the project that the user agreed to send to a box: the question comes once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gpu_box.files import read_own, write_whole


def read(memory: Path) -> int:
    """Bytes; 0 if there was no question yet."""
    with suppress(OSError, ValueError):
        return int(read_own(memory))
    return 0


def remember(memory: Path, size: int) -> None:
    with suppress(OSError):
        write_whole(memory, str(size))
