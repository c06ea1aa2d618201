"""`keep 3h`: the file that holds idle-stop off, and how much of it is left.

It holds two expiries: by the monotonic clock of the boot it was asked in, and by the wall clock for after a
reboot; a clock set back never makes it longer than what was asked for.
"""

import json
import os
from typing import Any, Dict, Iterable, Optional

from .text import read


def write(path: str, seconds: float, *, boot: str, mono: float, wall: float) -> None:
    """Keep the box up for this long from now on. Written whole or not at all."""
    values = {"boot": boot, "mono": mono + seconds, "wall": wall + seconds, "for": seconds}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(values, file)
    os.replace(path + ".new", path)


def left(paths: Iterable[str], *, boot: str, mono: float, wall: float) -> float:
    """Seconds left of the longest one; 0 without any. A file that makes no sense keeps nothing."""
    return max([_left(path, boot, mono, wall) for path in paths] or [0.0])


def _left(path: str, boot: str, mono: float, wall: float) -> float:
    values = _values(path)
    try:
        if values is None:
            return 0.0
        until = values["mono"] - mono if values["boot"] == boot else values["wall"] - wall
        return float(min(max(0.0, until), values["for"]))
    except (KeyError, TypeError):
        return 0.0


def _values(path: str) -> Optional[Dict[str, Any]]:
    try:
        values = json.loads(read(path, 1024))
        return values if isinstance(values, dict) else None
    except (OSError, ValueError):
        return None
