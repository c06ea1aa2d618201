"""The time of the last input on each terminal, as `w` shows it.

The kernel updates a terminal's atime when its program reads input (at most every 8 s), but not for output or
an open session. In tmux both the attached client's terminal and the inner one are updated.
"""

import os
from typing import List, Optional, Set, Tuple

from ..sample import Used
from .change import Changes


class Terminals:
    def __init__(self, *, only: int = 0, folder: str = "/dev/pts") -> None:
        """only: the uid whose terminals count; 0: all users'."""
        self._only, self._folder = only, folder
        self._changes = Changes()

    def read(self, *, mono: float, wall: float, among: Optional[Set[str]] = None) -> Tuple[Used, ...]:
        """Every pseudo-terminal and every console with a login. Raises OSError without /dev.

        among: restricts them to these names, on a machine that shares its host's terminals.
        """
        found = [
            (name, os.path.join(self._folder, name)) for name in os.listdir(self._folder) if name.isdigit()
        ]
        consoles: List[str] = [name for name in os.listdir("/dev") if name.startswith("tty") and name[3:]]
        found += [(name, "/dev/" + name) for name in consoles if _taken("/dev/" + name)]
        used = []
        for name, path in found:
            label = name if name.startswith("tty") else "pts/" + name
            try:
                status = os.stat(path)
            except OSError:
                continue  # just closed
            if self._only and status.st_uid != self._only or among is not None and label not in among:
                continue
            age = wall - status.st_atime
            key = "%s %d" % (label, status.st_ino)
            used.append(Used(label, self._changes.quiet(key, status.st_atime_ns, mono=mono, age=age)))
        return tuple(used)


def _taken(path: str) -> bool:
    """Whether someone is logged in on a console: until then it belongs to root."""
    try:
        return os.stat(path).st_uid != 0
    except OSError:
        return False
