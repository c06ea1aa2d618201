"""What the watcher on the box says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gpu_box.model.observed import Stopped


@dataclass(frozen=True, kw_only=True)
class Signal:
    name: str  # gpu, cpu, disk, network, ssh, jupyter, job, keep
    text: str  # its last reading, in words
    quiet: timedelta | None  # since its last use; None where it has shown none
    unknown: bool  # whether it cannot tell at present, and so holds idle-stop off


@dataclass(frozen=True, kw_only=True)
class Layer:
    name: str  # fuse, watcher, guard
    armed: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class WatchState:
    state: str  # active | idle | held (cannot tell) | limit (time or money), or unknown: no sample yet
    reason: str
    stops_in: timedelta | None  # if nothing uses it from now on; None without a sample
    signals: tuple[Signal, ...]
    layers: tuple[Layer, ...]
    stopped: Stopped | None  # why it stopped the last time
    cause: str = "idle"  # what comes first: idle, or a limit (deadline, max_hours, stop_at)
    deadline: datetime | None = None  # of this session, as the watcher was told; aware, UTC
    complaints: tuple[str, ...] = ()  # what is wrong with its policy or with its last attempt to stop


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    percent: float | None
    memory: tuple[float, float]  # bytes: used, in all
    celsius: float | None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A kernel or a job. doing: "busy, 0.98 cores" in the watcher's measure."""

    kind: str  # kernel, job
    name: str
    doing: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """The machine at one moment, for a panel."""

    at: datetime  # aware, UTC
    watch: WatchState
    cores: int
    load: float  # runnable processes, mean of a minute
    memory: tuple[float, float] | None  # bytes: used, in all
    gpus: tuple[Gpu, ...] | None  # None where nvidia-smi does not answer
    tasks: tuple[Task, ...]

    def stops_at(self, deadline: datetime | None) -> datetime | None:
        """When it stops unless it is used, or by AWS's deadline; None where nobody can tell."""
        idle = self.at + self.watch.stops_in if self.watch.stops_in is not None else None
        return min((moment for moment in (idle, deadline) if moment), default=None)


@dataclass(frozen=True, kw_only=True)
class Change:
    """From `at` on, this was the verdict; or an event (poweroff, boot) happened then."""

    at: datetime  # aware, UTC
    state: str  # active, idle, held, limit; or the event's name
    reason: str
    stops_in: timedelta | None
    signals: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Span:
    """From begin to end (aware, UTC) the verdict was `state` and these signals were in use."""

    begin: datetime
    end: datetime
    state: str  # active, idle, held, limit
    signals: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What the box did of late. Where no span is, it was off. gpu: per cent, the busiest; cpu: cores."""

    spans: tuple[Span, ...]
    gpu: tuple[tuple[datetime, float], ...]
    cpu: tuple[tuple[datetime, float], ...]
    stops: tuple[tuple[datetime, str], ...]
