"""Estimates the time left from earlier runs of a command.

A run records when each of its steps was done. The current run is compared with the newest earlier run that
had done the same steps by the same point, which separates a first `up` from one that only starts the box.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpu_box.files import read_own_json, write_whole
from gpu_box.store.files import GARBAGE

_KEPT = 8  # runs
_LONGEST_S = 1e6


@dataclass(frozen=True, kw_only=True)
class Run:
    """steps: in order of completion, with seconds since the start. s: seconds of the whole run."""

    steps: tuple[tuple[str, float], ...]
    s: float

    def left(self, done: frozenset[str], last: str) -> float | None:
        """Seconds from `last` to the end; None if this run had not done the same steps by then."""
        by_then = set[str]()
        for step, at in self.steps:
            by_then.add(step)
            if step == last:
                return self.s - at if done <= by_then else None
        return None


class Estimate:
    """Records the steps of this run and predicts its end. All times are seconds of one clock."""

    def __init__(self, earlier: Iterable[Run], began: float) -> None:
        """earlier: the newest run first."""
        self._earlier, self._began = tuple(earlier), began
        self._done: list[tuple[str, float]] = []
        self._ends: float | None = None

    def done(self, step: str, now: float) -> None:
        times = sum(name.partition("#")[0] == step for name, _ in self._done)
        name = f"{step}#{times + 1}" if times else step  # a step may be done twice, such as "instance"
        self._done.append((name, now - self._began))
        names = frozenset(name for name, _ in self._done)
        left = [left for run in self._earlier if (left := run.left(names, name)) is not None]
        if left:
            self._ends = now + left[0]

    def left(self, now: float) -> float | None:
        """None if no earlier run matches; 0 if the match took less time than this run so far."""
        return None if self._ends is None else max(0.0, self._ends - now)

    def run(self, now: float) -> Run:
        return Run(steps=tuple(self._done), s=now - self._began)


def read(path: Path) -> tuple[Run, ...]:
    """The newest first; empty if the file is missing or invalid."""
    try:
        return tuple(
            Run(steps=tuple((str(step), _seconds(at)) for step, at in one["steps"]), s=_seconds(one["s"]))
            for one in read_own_json(path)
        )
    except GARBAGE:
        return ()


def _seconds(recorded: float) -> float:
    seconds = float(recorded)
    if not 0 <= seconds < _LONGEST_S:
        raise ValueError
    return seconds


def remember(path: Path, run: Run) -> None:
    """Add the run. Errors are ignored."""
    runs = [{"s": round(one.s, 1), "steps": [(step, round(at, 1)) for step, at in one.steps]}
            for one in (run, *read(path))][:_KEPT]  # fmt: skip
    with suppress(OSError):
        write_whole(path, json.dumps(runs))
