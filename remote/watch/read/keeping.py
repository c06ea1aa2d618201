"""`keep 3h`: the file that holds idle-stop off, and how much of it is left.

It holds two expiries: by the monotonic clock of the boot it was asked in, and by the wall clock for after a
reboot; a clock set back never makes it longer than what was asked for.
"""

import json
import os
from typing import Iterable, Optional, Tuple

from .as_user import acting_as
from .people import User
from .text import read, values

MOST = 1024  # bytes
LONGEST = 30 * 86400.0  # seconds, as `gpu-box keep` allows
SET_BACK = 2 * 86400.0  # seconds by which the wall clock may have been set back since the file was written


def write(path: str, seconds: float, *, boot: str, mono: float, wall: float) -> None:
    """Keep the box up for this long from now on. Written whole or not at all."""
    written = {"boot": boot, "mono": mono + seconds, "wall": wall + seconds, "for": seconds}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(written, file)
    os.replace(path + ".new", path)


def left(places: Iterable[Tuple[Optional[User], str]], *, boot: str, mono: float, wall: float) -> float:
    """Seconds left of the longest one; 0 without any. A file that makes no sense keeps nothing.

    places: each file and the user in whose folder it lies; None: a folder that only root writes to.
    """
    return max([_left(user, path, boot, mono, wall) for user, path in places] or [0.0])


def _left(user: Optional[User], path: str, boot: str, mono: float, wall: float) -> float:
    try:
        found = values(_text(user, path))
        asked = float(found["for"])
        same_boot = found["boot"] == boot
        until = float(found["mono"]) - mono if same_boot else float(found["wall"]) - wall
        # Ahead of what was asked for, it would not run out. Written so that NaN is refused, too.
        ahead = 1.0 if same_boot else SET_BACK
        if not 0 <= asked <= LONGEST or not until <= asked + ahead:
            return 0.0
        return min(max(0.0, until), asked)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0.0


def _text(user: Optional[User], path: str) -> str:
    if user is None:
        return read(path, MOST)
    with acting_as(user):
        return read(path, MOST, owner=user.uid)
