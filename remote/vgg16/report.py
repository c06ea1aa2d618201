"""Progress of a run: plain lines for people, `@progress {...}` lines for `gpu-box train`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator

from vgg16.command import printable
from vgg16.elastic import began
from vgg16.train import Batch, Report

_EVERY_S = 0.5


class Silent(Report):
    """For the other ranks: the first one speaks for all."""

    def say(self, line: str) -> None:
        pass

    def warn(self, line: str) -> None:
        print(printable(line), flush=True)


class ProgressReport(Report):
    """Also a machine-readable line twice a second, and at the end of a phase.

    The cost counts from the beginning of the run, before torchrun restarted it for a lost rank.
    """

    def __init__(self, *, dollars_per_hour: float | None = None) -> None:
        self._dollars_per_hour = dollars_per_hour
        self._started, self._phase_started = began(), time.monotonic()
        self._last = -_EVERY_S
        self._phase, self._first, self._done = "", 0, 0

    def say(self, line: str) -> None:
        print(printable(line), flush=True)

    def due(self, *, last: bool = False) -> bool:
        return last or time.monotonic() - self._last >= _EVERY_S

    def watch(
        self,
        phase: str,
        batches: Iterable[Batch],
        *,
        steps: int,
        world: int,
        epoch: int = 1,
        epochs: int = 1,
        done: int = 0,
        figures: Callable[[], tuple[float, float]] | None = None,
    ) -> Iterator[Batch]:
        """The batches of a pass, whose steps after the first `done` are these; world: ranks that take part.

        figures: loss and accuracy so far. Reading them makes the GPU wait: not at every step.
        """
        started, count = time.perf_counter(), 0
        for step, (inputs, rows) in enumerate(batches, start=done + 1):
            yield inputs, rows
            count += len(rows)
            if self.due(last=step == steps) and (count or not figures):
                found = dict(zip(("loss", "accuracy"), figures(), strict=True)) if figures else {}
                rate = world * count / (time.perf_counter() - started)
                self.step(
                    phase, epoch=epoch, epochs=epochs, step=step, steps=steps, **found, images_per_s=rate
                )

    def step(self, phase: str, **figures: float | int | None) -> None:
        """figures: epoch, epochs, step, steps, and, if known, loss, accuracy, images_per_s."""
        self._last = now = time.monotonic()
        steps = figures["steps"] or 1
        done = ((figures["epoch"] or 1) - 1) * steps + (figures["step"] or 0)
        if phase != self._phase or done <= self._done:  # the same phase again: held-out pictures
            # Steps of an earlier run took none of this time.
            self._phase, self._phase_started, self._first = phase, now, done
        self._done = done
        line: dict[str, object] = {"phase": phase}
        line |= {name: _rounded(value) for name, value in figures.items() if value is not None}
        todo = (figures["epochs"] or 1) * steps - done
        if now > self._phase_started and done > self._first:
            line["seconds_left"] = round(todo * (now - self._phase_started) / (done - self._first), 1)
        if self._dollars_per_hour is not None:
            line["dollars"] = round(self._dollars_per_hour * (now - self._started) / 3600, 4)
        print("@progress " + json.dumps(line), flush=True)


def _rounded(value: float | int) -> float | int:
    return value if isinstance(value, int) else round(value, 4)
