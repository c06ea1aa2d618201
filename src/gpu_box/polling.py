"""Poll until a condition holds or the time is up."""

from __future__ import annotations

import time
from collections.abc import Iterator


def attempts(timeout_s: float, *, every_s: float, at_most_s: float | None = None) -> Iterator[float]:
    """Yield the seconds waited so far: 0 at once, then after each pause, the last time after `timeout_s`.

    every_s: the first pause. With at_most_s, each pause is 1.5 times the one before, up to at_most_s; without
    it, all pauses are equal.
    """
    began, pause_s = time.monotonic(), every_s
    while True:
        waited_s = time.monotonic() - began
        yield waited_s
        if waited_s > timeout_s:
            return
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, at_most_s) if at_most_s else pause_s
