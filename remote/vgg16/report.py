"""What a run says while it works: plain lines for people, `@progress {...}` lines for `gpu-box train`."""

from __future__ import annotations

import json
import time

from vgg16.elastic import began

_EVERY_S = 0.5


class Report:
    """Plain lines only: the notebook's. due() is never true, so the loop never stops to read a figure."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def warn(self, line: str) -> None:
        """What this process alone may have met: every rank says it."""
        self.say(line)

    def due(self, *, last: bool = False) -> bool:
        """Is it time for the next step()? Asked in the loop, because reading a loss makes the GPU wait."""
        return False

    def step(self, phase: str, **figures: float | int | None) -> None:
        pass


class Silent(Report):
    """The other ranks' one: the first speaks for all."""

    def say(self, line: str) -> None:
        pass

    def warn(self, line: str) -> None:
        print(line, flush=True)


class ProgressReport(Report):
    """Also a machine-readable line twice a second, and at the end of a phase.

    What it has cost counts from the run's begin, also where torchrun began anew for a lost rank.
    """

    def __init__(self, *, dollars_per_hour: float | None = None) -> None:
        self._dollars_per_hour = dollars_per_hour
        self._started, self._phase_started = began(), time.monotonic()
        self._last = -_EVERY_S
        self._phase, self._first, self._done = "", 0, 0

    def due(self, *, last: bool = False) -> bool:
        return last or time.monotonic() - self._last >= _EVERY_S

    def step(self, phase: str, **figures: float | int | None) -> None:
        """figures: epoch, epochs, step, steps, and where known loss, accuracy, images_per_s."""
        self._last = now = time.monotonic()
        steps = figures["steps"] or 1
        done = ((figures["epoch"] or 1) - 1) * steps + (figures["step"] or 0)
        if phase != self._phase or done <= self._done:  # also the same again: of the held-out pictures
            # What was done before, in an earlier run too, was not done in this time.
            self._phase, self._phase_started, self._first = phase, now, done
        self._done = done
        told: dict[str, object] = {"phase": phase}
        told |= {name: _rounded(value) for name, value in figures.items() if value is not None}
        todo = (figures["epochs"] or 1) * steps - done
        if now > self._phase_started and done > self._first:
            told["seconds_left"] = round(todo * (now - self._phase_started) / (done - self._first), 1)
        if self._dollars_per_hour is not None:
            told["dollars"] = round(self._dollars_per_hour * (now - self._started) / 3600, 4)
        print("@progress " + json.dumps(told), flush=True)


def _rounded(value: float | int) -> float | int:
    return value if isinstance(value, int) else round(value, 4)
