"""`keep 3h`: the file that holds the idle stop off, and the time left.

It stores two expiries: by the monotonic clock for the same boot, and by the wall clock for after a reboot.
Setting the clock back cannot extend it beyond the requested time.
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
    """Hold the idle stop off for `seconds` from now. Replaces the file atomically."""
    written = {"boot": boot, "mono": mono + seconds, "wall": wall + seconds, "for": seconds}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(written, file)
    os.replace(path + ".new", path)


def left(places: Iterable[Tuple[Optional[User], str]], *, boot: str, mono: float, wall: float) -> float:
    """Seconds left of the longest `keep`; 0 without a valid one.

    places: each file with the user who owns its folder; None: a folder that only root can write.
    """
    return max([_left(user, path, boot, mono, wall) for user, path in places] or [0.0])


def _left(user: Optional[User], path: str, boot: str, mono: float, wall: float) -> float:
    try:
        found = values(_text(user, path))
        asked = float(found["for"])
        same_boot = found["boot"] == boot
        until = float(found["mono"]) - mono if same_boot else float(found["wall"]) - wall
        # An expiry later than requested would never end. `not ... <=` also rejects NaN.
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
