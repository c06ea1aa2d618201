"""Talking to the watcher on the box: hold it off, give it this session's deadline, ask what it decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gpu_box.errors import MachineError
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import PYTHON, LineSplitter, quote
from gpu_box.model.answer import NONSENSE, read_json
from gpu_box.model.observed import Stopped
from gpu_box.model.stop_reason import parse_record
from gpu_box.model.watch import Activity, Change, Gpu, Layer, Look, Signal, Span, Task, WatchState

_TIMEOUT_S = 60.0


def keep(connection: Connection, span: timedelta | None) -> None:
    """Hold idle-stop off for so long from now; None: no longer."""
    _ask(connection, "keep", f"{span.total_seconds():.0f}s" if span else "--off")


def set_deadline(connection: Connection, at: datetime, marks: Sequence[tuple[int, datetime]] = ()) -> None:
    """The moment at which the watcher stops the box whatever it does: the same as AWS's.

    marks: per cent of the budget, and when they will be spent; notices are sent then.
    """
    told = ",".join(f"{percent}:{when.timestamp():.0f}" for percent, when in marks)
    _ask(connection, "policy", f"deadline={at.timestamp():.0f}", f"budget_marks={told}")


def history(connection: Connection) -> tuple[tuple[Change, ...], Stopped | None]:
    """The verdicts of late, oldest first, and the last stop."""
    said = _ask(connection, "why", "--json")
    try:
        told = read_json(said.splitlines()[-1])  # a login may print before it
        changes = tuple(_change(one) for one in told["changes"])
        return changes, parse_record(told["stopped"]) if told["stopped"] else None
    except NONSENSE as error:
        raise _failed(connection, f"it answers {said.strip()[-80:]!r}") from error


def look(connection: Connection, every: timedelta, on_look: Callable[[Look], None]) -> None:
    """The machine as it is, again and again, until on_look raises or the link breaks (MachineUnreachable)."""

    def take(line: str) -> None:
        try:
            found = parse_look(read_json(line))
        except NONSENSE:
            return  # a login may print before it
        on_look(found)

    command = f"cd ~/.gpu-box/remote && exec {PYTHON} -m watch panel {every.total_seconds():g}"
    ended = connection.run(
        command,
        on_data=_lines(take),
        check=False,
        timeout_s=None,
        stall_s=every.total_seconds() + _TIMEOUT_S,
    )
    raise _failed(connection, ended.said)


def _lines(take: Callable[[str], None]) -> Callable[[bytes], None]:
    """For a command that never ends: nothing of it is kept."""
    splitter = LineSplitter()

    def feed(piece: bytes) -> None:
        for line in splitter.feed(piece):
            take(line)

    return feed


def ask_activity(connection: Connection) -> str:
    """As JSON, for `parse_activity`: a week of samples in brief (remote/watch/activity.py)."""
    return _ask(connection, "activity").splitlines()[-1]


def parse_activity(text: str) -> Activity:
    """Raises ValueError for anything else."""
    try:
        told = read_json(text)
        return Activity(
            spans=tuple(
                Span(begin=_time(begin), end=_time(end), state=str(state), signals=tuple(signals))
                for begin, end, state, signals in told["spans"]
            ),
            gpu=tuple((_time(at), float(percent)) for at, percent in told["gpu"]),
            cpu=tuple((_time(at), float(cores)) for at, cores in told["cpu"]),
            stops=tuple((_time(at), str(reason)) for at, reason in told["stops"]),
        )
    except NONSENSE as error:
        raise ValueError(f"no activity: {error}") from error


def _time(unix: float) -> datetime:
    return datetime.fromtimestamp(float(unix), UTC)


def _change(told: dict[str, Any]) -> Change:
    stops_in = told.get("stops_in")
    return Change(
        at=datetime.fromtimestamp(float(told["wall"]), UTC),
        state=str(told.get("event") or ("stop" if told["stop"] else told["state"])),
        reason=str(told.get("reason", "")),
        stops_in=None if stops_in is None else timedelta(seconds=float(stops_in)),
        signals=tuple((str(k), str(v)) for k, v in told.get("signals", {}).items()),
    )


def _ask(connection: Connection, *words: str) -> str:
    line = " ".join(quote(word) for word in words)
    result = connection.run(
        f"cd ~/.gpu-box/remote && exec {PYTHON} -m watch {line}", check=False, timeout_s=_TIMEOUT_S
    )
    if result.exit_status != 0:
        raise _failed(connection, result.said)
    return result.stdout


def _failed(connection: Connection, why: str) -> MachineError:
    return MachineError(
        f"the watcher on the box does not take that: {why}",
        where=connection.host.name,
        remedy="`gpu-box up` sets it up anew; `gpu-box status` shows what is armed.",
    )


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
