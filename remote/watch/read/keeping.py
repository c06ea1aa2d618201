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
        until = found["mono"] - mono if found["boot"] == boot else found["wall"] - wall
        seconds = float(min(max(0.0, until), found["for"]))
        return seconds if seconds < float("inf") else 0.0  # false for NaN, too
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0.0


def _text(user: Optional[User], path: str) -> str:
    if user is None:
        return read(path, MOST)
    with acting_as(user):
        return read(path, MOST, owner=user.uid)
