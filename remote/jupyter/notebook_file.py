"""Replaces a notebook's file whole, so that no reader sees half of one."""

import os
from collections.abc import Callable
from pathlib import Path


def write(path: Path, content: bytes, *, at_last: Callable[[os.stat_result], bool] = lambda _: True) -> bool:
    """Keeps the file's permissions, and a link. Returns whether it was written.

    at_last: called just before the replacement, with the new file's status; False cancels it.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if path.exists():
                os.chmod(temporary, path.stat().st_mode & 0o777)
            os.fsync(file.fileno())
        written = at_last(temporary.stat())
        if written:
            os.replace(temporary, path)
        return written
    finally:
        temporary.unlink(missing_ok=True)
