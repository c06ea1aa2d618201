"""Safely reads small files that other users can write, and makes names from them printable."""

import itertools
import json
import os
import stat
from typing import Any, Dict, List, Optional

SHOWN = 100  # characters of a name; a job's name has at most 64


def read(path: str, most: int = 65536, *, owner: Optional[int] = None) -> str:
    """The file's text, up to `most` bytes. Raises OSError if unreadable or not a regular file.

    Root may read a user's file here: a FIFO must not block, and a huge file must not fill the memory.
    owner: the uid that must own the file; None: any.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("%s is not a regular file" % path)
        if owner is not None and status.st_uid != owner:
            raise OSError("%s belongs to another user" % path)
        return os.read(file, most).decode("utf-8", "replace")
    finally:
        os.close(file)


def names(folder: str, most: int) -> List[str]:
    """Up to `most` names in the folder, sorted. Raises OSError if it cannot be listed."""
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in itertools.islice(found, most))


def values(text: str) -> Dict[str, Any]:
    """Parse a JSON object. Raises ValueError for anything else, including too deep nesting."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def shown(name: str, most: int = SHOWN) -> str:
    """Shorten to `most` characters and replace unprintable ones, for a terminal, log or argument."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:most])
