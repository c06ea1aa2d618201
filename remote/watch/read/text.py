"""Read a small file that someone else wrote, or may have replaced by something nasty; show a name from it."""

import itertools
import json
import os
import stat
from typing import Any, Dict, List, Optional

SHOWN = 100  # characters of a name; a job's name has 64 at most


def read(path: str, most: int = 65536, *, owner: Optional[int] = None) -> str:
    """Its text, at most `most` bytes. OSError when it cannot be read or is no regular file.

    The watcher may be root and the file a user's: a fifo must not hang it, nor a huge file fill its memory.
    owner: the uid to which the file must belong; None: any.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("%s is no regular file" % path)
        if owner is not None and status.st_uid != owner:
            raise OSError("%s belongs to another user" % path)
        return os.read(file, most).decode("utf-8", "replace")
    finally:
        os.close(file)


def names(folder: str, most: int) -> List[str]:
    """Up to `most` of the names in it, sorted. OSError when it cannot be listed."""
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in itertools.islice(found, most))


def values(text: str) -> Dict[str, Any]:
    """The JSON object in it. ValueError for anything else, too deep a nesting included."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def shown(name: str, most: int = SHOWN) -> str:
    """One printable line, at most `most` characters: fit for a terminal, a log, the console, an argument."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:most])
