"""Files that are whole or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(
    path: Path, text: str, *, mode: int | None = 0o600, durable: bool = False, replace: bool = True
) -> None:
    """Write the file as a whole or not at all, also with two commands at once. Raises OSError.

    mode: None for what the umask leaves. durable: also if the power fails right afterwards. replace: False
    leaves a file alone that is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if replace or not _linked(temporary, path):
            temporary.replace(path)
    finally:  # Ctrl-C included
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _linked(temporary: Path, path: Path) -> bool:
    """A link, unlike a rename, never replaces a file. False on a file system without hard links."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True
