"""Who typed: the time of the last input of each terminal, as `w` tells it.

The kernel stamps a terminal's atime when its program reads what was typed (every 8 s at most). Output does
not, nor does a session merely open. In tmux the attached client's terminal and the inner one are stamped.
"""

import os
from typing import List, Optional, Set, Tuple

from ..sample import Used
from .change import Changes


class Terminals:
    def __init__(self, *, only: int = 0, folder: str = "/dev/pts") -> None:
        """only: count the terminals of this uid alone; 0: everyone's."""
        self._only, self._folder = only, folder
        self._changes = Changes()

    def read(self, *, mono: float, wall: float, among: Optional[Set[str]] = None) -> Tuple[Used, ...]:
        """Every pseudo-terminal, and the consoles that someone has logged in on. OSError without a /dev.

        among: only these, on a machine that shares its terminals with others.
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
                continue  # closed meanwhile
            if self._only and status.st_uid != self._only or among is not None and label not in among:
                continue
            age = wall - status.st_atime
            key = "%s %d" % (label, status.st_ino)
            used.append(Used(label, self._changes.quiet(key, status.st_atime_ns, mono=mono, age=age)))
        return tuple(used)


def _taken(path: str) -> bool:
    """A console belongs to root until someone logs in on it."""
    try:
        return os.stat(path).st_uid != 0
    except OSError:
        return False
