"""How long a command still takes, by how long its earlier runs took.

A run is remembered as when each of its steps was done. A later run is held against the earlier one that had
done the same steps by the same point: that tells an `up` from nothing from one that only starts the box.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpu_box.files import write_whole

_KEPT = 8  # runs


@dataclass(frozen=True, kw_only=True)
class Run:
    """steps: in the order in which they were done, with the seconds since the beginning; s: of all of it."""

    steps: tuple[tuple[str, float], ...]
    s: float

    def left(self, done: frozenset[str], last: str) -> float | None:
        """Seconds from `last` to its end; None where this run had not done the same by then."""
        by_then = set[str]()
        for step, at in self.steps:
            by_then.add(step)
            if step == last:
                return self.s - at if done <= by_then else None
        return None


class Pace:
    """Of one run. Times are of one clock, in seconds."""

    def __init__(self, earlier: Iterable[Run], began: float) -> None:
        """earlier: the newest first."""
        self._earlier, self._began = tuple(earlier), began
        self._done: list[tuple[str, float]] = []
        self._ends: float | None = None

    def done(self, step: str, now: float) -> None:
        times = sum(name.partition("#")[0] == step for name, _ in self._done)
        name = f"{step}#{times + 1}" if times else step  # the instance is made, and then it runs
        self._done.append((name, now - self._began))
        names = frozenset(name for name, _ in self._done)
        left = [left for run in self._earlier if (left := run.left(names, name)) is not None]
        if left:
            self._ends = now + left[0]

    def left(self, now: float) -> float | None:
        """None where no earlier run tells; 0 where they took less than this one has."""
        return None if self._ends is None else max(0.0, self._ends - now)

    def run(self, now: float) -> Run:
        return Run(steps=tuple(self._done), s=now - self._began)


def read(path: Path) -> tuple[Run, ...]:
    """The newest first; none where there is no such file, or it is another's."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Run(steps=tuple((str(step), float(at)) for step, at in one["steps"]), s=float(one["s"]))
            for one in told
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def remember(path: Path, run: Run) -> None:
    """A folder that cannot be written costs the estimate and nothing else."""
    runs = [{"s": round(one.s, 1), "steps": [(step, round(at, 1)) for step, at in one.steps]}
            for one in (run, *read(path))][:_KEPT]  # fmt: skip
    with suppress(OSError):
        write_whole(path, json.dumps(runs))
