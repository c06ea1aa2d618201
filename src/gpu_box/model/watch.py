"""The watcher's state, as the box reports it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gpu_box.model.observed import Stopped


@dataclass(frozen=True, kw_only=True)
class Signal:
    name: str  # gpu, cpu, disk, network, ssh, jupyter, job, keep
    text: str  # its last reading, in words
    quiet: timedelta | None  # since its last use; None if it was never in use
    unknown: bool  # whether it cannot be read now, which holds idle stop off


@dataclass(frozen=True, kw_only=True)
class Layer:
    name: str  # fuse, watcher, guard
    armed: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class WatchState:
    state: str  # active | idle | held (a signal is unknown) | limit (time or money) | unknown (no sample yet)
    reason: str
    stops_in: timedelta | None  # if nothing uses it from now on; None without a sample
    signals: tuple[Signal, ...]
    layers: tuple[Layer, ...]
    stopped: Stopped | None  # the last stop
    cause: str = "idle"  # what will stop it first: idle, or a limit (deadline, max_hours, stop_at)
    deadline: datetime | None = None  # of this session, as the watcher knows it; aware, UTC
    complaints: tuple[str, ...] = ()  # problems with its policy or with its last attempt to stop


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    percent: float | None
    memory: tuple[float, float]  # bytes: used, total
    celsius: float | None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A kernel, a job, or a job in the queue. doing: as measured, such as "busy, 0.98 cores"."""

    kind: str  # kernel, job, queue
    name: str
    doing: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The machine at one moment, for the live panel."""

    at: datetime  # aware, UTC
    watch: WatchState
    cores: int
    load: float  # runnable processes, averaged over a minute
    memory: tuple[float, float] | None  # bytes: used, total
    gpus: tuple[Gpu, ...] | None  # None if nvidia-smi does not answer
    tasks: tuple[Task, ...]

    def stops_at(self, deadline: datetime | None) -> datetime | None:
        """When it stops if unused, or by AWS's deadline, whichever is first; None if unknown."""
        idle = self.at + self.watch.stops_in if self.watch.stops_in is not None else None
        return min((moment for moment in (idle, deadline) if moment), default=None)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A new verdict from `at` on, or an event (poweroff, boot) at `at`."""

    at: datetime  # aware, UTC
    state: str  # active, idle, held, limit; or the event's name
    reason: str
    stops_in: timedelta | None
    signals: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Span:
    """From begin to end (aware, UTC) the verdict was `state`, and these signals were in use."""

    begin: datetime
    end: datetime
    state: str  # active, idle, held, limit
    signals: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Activity:
    """The box's recent activity; between spans it was off. gpu: per cent of the busiest; cpu: cores."""

    spans: tuple[Span, ...]
    gpu: tuple[tuple[datetime, float], ...]
    cpu: tuple[tuple[datetime, float], ...]
    stops: tuple[tuple[datetime, str], ...]
