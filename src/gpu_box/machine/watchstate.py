"""What the watcher on the box says of itself (`python3 -m watch status --json`), as a frozen value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gpu_box.model import Stopped
from gpu_box.stopped import parse_record


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


def parse(raw: Mapping[str, Any]) -> WatchState:
    """raw: the JSON object; of another version, what it has in common with this one."""
    verdict = raw.get("verdict") or {}
    stops_in, stopped = verdict.get("stops_in"), raw.get("stopped")
    deadline = raw.get("deadline")
    return WatchState(
        state=str(verdict.get("state", "unknown")),
        reason=str(verdict.get("reason", "no sample yet")),
        stops_in=timedelta(seconds=float(stops_in)) if stops_in is not None else None,
        signals=tuple(
            Signal(
                name=name,
                text=str(told.get("text", "")),
                quiet=None if told.get("quiet") is None else timedelta(seconds=float(told["quiet"])),
                unknown=bool(told.get("held")),
            )
            for name, told in (raw.get("signals") or {}).items()
        ),
        layers=tuple(
            Layer(name=name, armed=bool(told.get("armed")), detail=str(told.get("detail", "")))
            for name, told in (raw.get("layers") or {}).items()
        ),
        stopped=parse_record(stopped) if stopped else None,
        cause=str(verdict.get("cause", "idle")),
        deadline=datetime.fromtimestamp(float(deadline), UTC) if deadline else None,
        complaints=tuple(str(complaint) for complaint in raw.get("complaints") or ()),
    )


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


def parse_look(raw: Mapping[str, Any]) -> Look:
    """raw: a line of `python3 -m watch panel`. Raises KeyError, TypeError or ValueError for anything else."""
    gpus = raw["gpus"]
    return Look(
        at=datetime.fromtimestamp(float(raw["at"]), UTC),
        watch=parse(raw["status"]),
        cores=int(raw["cores"]),
        load=float(raw["load"]),
        memory=None if raw["memory"] is None else (float(raw["memory"][0]), float(raw["memory"][1])),
        gpus=None
        if gpus is None
        else tuple(
            Gpu(
                name=str(gpu["name"]),
                percent=gpu["percent"],
                memory=(float(gpu["memory"][0]), float(gpu["memory"][1])),
                celsius=gpu["celsius"],
            )
            for gpu in gpus
        ),
        tasks=tuple(_tasks(raw["status"].get("signals") or {})),
    )


def _tasks(signals: Mapping[str, Any]) -> Iterator[Task]:
    jupyter = (signals.get("jupyter") or {}).get("reading") or {}
    for kernel in jupyter.get("kernels", ()):
        yield Task(kind="kernel", name=kernel["name"], doing=f"{kernel['state']}, {_uses(kernel)}")
    jobs = (signals.get("job") or {}).get("reading") or ()
    for job in jobs if isinstance(jobs, list) else ():
        yield Task(kind="job", name=job["name"], doing=_uses(job))


def _uses(process: Mapping[str, Any]) -> str:
    gpu = ", on the GPU" if process.get("gpu") else ""
    return f"{float(process.get('cores', 0)):.2f} cores{gpu}"
