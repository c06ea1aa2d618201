"""Measures alternatives in turns, so that other work on the machine affects all equally."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# `--quick`: just enough runs to check that a part works.
quick = False


@dataclass(frozen=True)
class Times:
    """Seconds of each run, in order."""

    all: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.all)

    @property
    def spread(self) -> float:
        """The interquartile range divided by the median."""
        if len(self.all) < 4:
            return (max(self.all) - min(self.all)) / self.median
        low, _, high = statistics.quantiles(self.all, n=4)
        return (high - low) / self.median

    def against(self, other: Times) -> float:
        """The median ratio within a turn, which other work on the machine affects least."""
        return statistics.median(a / b for a, b in zip(self.all, other.all, strict=True))

    def __str__(self) -> str:
        return seconds(self.median)

    @property
    def runs(self) -> str:
        return f"{len(self.all)}, {100 * self.spread:.0f} %"


def rounds(wanted: int) -> int:
    return min(wanted, 2) if quick else wanted


def in_turns(measured: Mapping[str, Callable[[], float]], turns: int) -> dict[str, Times]:
    """Run each callable `turns` times, alternating. A callable returns its own seconds."""
    found: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(turns):
        for name, run in measured.items():
            found[name].append(run())
    return {name: Times(tuple(each)) for name, each in found.items()}


def clocked(action: Callable[[], object]) -> float:
    """The seconds that a call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def command(words: Sequence[str], **options: object) -> float:
    """A callable that returns the seconds a command takes; the command must succeed."""

    def run() -> None:
        subprocess.run(  # type: ignore[call-overload]
            words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            **{"stderr": subprocess.DEVNULL, **options},
        )  # fmt: skip

    return clocked(run)


def seconds(value: float) -> str:
    """ "66 ms", "1.42 s", "2 min 05 s"."""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.2f} s" if value < 60 else f"{value // 60:.0f} min {value % 60:02.0f} s"
