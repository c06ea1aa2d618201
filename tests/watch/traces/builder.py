"""Builds traces of samples from a short description."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from watch.sample import Event, Gpu, Job, Jupyter, Kernel, Rate, Sample, Unknown, Used

START = 1_767_225_600.0  # 2026-01-01 00:00 UTC
INTERVAL = 15.0  # s

QUIET: dict[str, Any] = {
    "gpu": (Gpu(0, 0.0, False),),
    "cpu": Rate(0.01, "bash"),
    "disk": Rate(0.0, ""),
    "network": Rate(0.0, ""),
    "ssh": (),
    "jupyter": None,
    "job": (),
    "keep": 0.0,
}


@dataclasses.dataclass
class Box:
    """A box whose samples are recorded; `now` is in seconds."""

    samples: list[Sample | Event] = dataclasses.field(default_factory=list)
    minutes: list[float] = dataclasses.field(default_factory=list)  # true time of each sample, s
    now: float = 0.0  # true time since the trace began, s
    mono: float = 20.0
    up: float = 20.0
    skew: float = 0.0  # error of the wall clock, s
    boots: int = 1

    def run(self, minutes: float, interval: float = INTERVAL, **readings: Any) -> Box:
        """Record this many minutes of a quiet box with these readings; a callable gets the minutes so far."""
        begin = self.now
        while self.now - begin < minutes * 60 - 1e-6:
            self._pass(interval)
            self.sample(interval, (self.now - begin) / 60, readings)
        return self

    def sample(self, over: float, minute: float, readings: dict[str, Any]) -> None:
        values = {
            name: reading(minute) if callable(reading) else reading
            for name, reading in {**QUIET, **readings}.items()
        }
        self._write(
            Sample(
                boot=f"boot-{self.boots}",
                mono=self.mono,
                wall=START + self.now + self.skew,
                up=self.up,
                over=over,
                **values,
            )
        )

    def set_clock(self, hours: float) -> Box:
        self.skew += hours * 3600
        return self

    def suspend(self, hours: float) -> Box:
        """The monotonic clock pauses; the wall clock and the time since boot continue."""
        self.now += hours * 3600
        self.up += hours * 3600
        return self

    def unwatched(self, minutes: float) -> Box:
        self._pass(minutes * 60)
        return self

    def reboot(self, minutes: float = 1.0) -> Box:
        self.boots += 1
        self.now += minutes * 60
        self.mono = self.up = 20.0
        return self

    def power_off(self) -> Box:
        self._write(Event("poweroff", f"boot-{self.boots}", START + self.now + self.skew))
        return self

    def _write(self, sample: Sample | Event) -> None:
        self.samples.append(sample)
        self.minutes.append(self.now / 60)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.mono += seconds
        self.up += seconds


def gpu(percent: float | None, *, compute: bool = True, index: int = 0) -> tuple[Gpu, ...]:
    return (Gpu(index, percent, compute, (900,) if compute else ()),)


def eight_gpus(*busy: float) -> tuple[Gpu, ...]:
    return tuple(Gpu(i, percent, percent > 0) for i, percent in enumerate(busy))


def cpu(cores: float, who: str = "python") -> Rate:
    return Rate(cores, who)


def rate(bps: float, who: str = "") -> Rate:
    return Rate(bps, who)


def kernel(state: str, quiet: float | None = None, name: str = "lesson1.ipynb", **uses: Any) -> Kernel:
    return Kernel(name, state, quiet, **uses)


def jupyter(*kernels: Kernel, documents: tuple[Used, ...] = ()) -> Jupyter:
    return Jupyter(kernels, documents)


def job(name: str = "train", **uses: Any) -> tuple[Job, ...]:
    return (Job(name, **uses),)


def since_every(period: float) -> Callable[[float], float]:
    """Seconds since an event that happens every `period` minutes, first at once."""
    return lambda minute: (minute % period) * 60


def typed(
    quiet: Callable[[float], float] | float, name: str = "pts/0"
) -> Callable[[float], tuple[Used, ...]]:
    return lambda minute: (Used(name, quiet(minute) if callable(quiet) else quiet),)


def since(before: float = 0.0) -> Callable[[float], float]:
    """Seconds since an event `before` minutes before this stretch."""
    return lambda minute: (before + minute) * 60


UNREADABLE = Unknown("nvidia-smi hangs (10 s)")
