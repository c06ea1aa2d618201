"""How long each step took before on this laptop, so that the next time can tell how long is left.

A cache and no more: whoever loses it sees no time left, once.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from contextlib import suppress
from pathlib import Path

from gpu_box.home import data_home

_WORTH_S = 1.0  # what took less had nothing to do, and nobody waited for it
_KEPT = 5  # times of each step: what is usual follows a new region or a faster line within three
_MOST_STEPS = 100
_ELSE = ("sync", "tunnel")  # what they take depends on what there is to bring; sync counts its bytes


class Pace:
    """Of one kind of cloud: a box of the embedded one is set up in other times than one at AWS."""

    def __init__(self, cloud: str) -> None:
        self._path = data_home() / "pace" / f"{cloud}.json"
        self._known = _read(self._path)

    def usual(self, step: str) -> float | None:
        """Seconds; None for a step that was never waited for."""
        known = self._known.get(step)
        return statistics.median(known) if known else None

    def note(self, step: str, seconds: float) -> None:
        """It ended well after so many. Never fails a command."""
        if seconds < _WORTH_S or step in _ELSE:
            return
        self._known = _read(self._path)  # another command may have noted, too
        times = [*self._known.pop(step, []), round(seconds, 1)]
        self._known[step] = times[-_KEPT:]  # the last one noted is the last in the file
        newest = list(self._known.items())[-_MOST_STEPS:]
        with suppress(OSError):
            _write(self._path, json.dumps(dict(newest)))


def _read(path: Path) -> dict[str, list[float]]:
    """Empty where there is none, or where it is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {str(step): [float(each) for each in times][-_KEPT:] for step, times in told.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write(path: Path, text: str) -> None:
    """Whole or not at all, also with two commands at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, path)
