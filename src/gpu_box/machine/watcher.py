"""Talks to the watcher on the box: turn idle stop off, set the deadline, read its state and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from gpu_box.errors import MachineError
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import LineSplitter, remote_module
from gpu_box.model.answer import Fields, as_list, as_moment, as_number, as_text, read_object
from gpu_box.model.observed import Stopped
from gpu_box.model.stop_reason import parse_record
from gpu_box.model.watch import Activity, Change, Gpu, Layer, Reading, Signal, Span, Task, WatchState

_TIMEOUT_S = 60.0


def keep(connection: Connection, span: timedelta | None) -> None:
    """Turn idle stop off for `span` from now; None turns it on again."""
    _ask(connection, "keep", f"{span.total_seconds():.0f}s" if span else "--off")


def set_deadline(connection: Connection, at: datetime, marks: Sequence[tuple[int, datetime]] = ()) -> None:
    """Set the time at which the watcher stops the box even if it is in use: the same as AWS's.

    marks: per cent of the budget and when they are reached; a notification is sent then.
    """
    listed = ",".join(f"{percent}:{when.timestamp():.0f}" for percent, when in marks)
    _ask(connection, "policy", f"deadline={at.timestamp():.0f}", f"budget_marks={listed}")


def history(connection: Connection) -> tuple[tuple[Change, ...], Stopped | None]:
    """The recent verdicts, oldest first, and the last stop."""
    said = _ask(connection, "why", "--json")
    try:
        answer = read_object(said)
        changes = tuple(_change(Fields(one)) for one in answer.array("changes"))
        return changes, parse_record(answer.inside("stopped")) if answer.has("stopped") else None
    except ValueError as error:
        raise _failed(connection, f"invalid answer {said.strip()[-80:]!r}") from error


def read_repeatedly(connection: Connection, every: timedelta, on_reading: Callable[[Reading], None]) -> None:
    """Read the machine repeatedly until on_reading raises or the link breaks (MachineUnreachable)."""

    splitter = LineSplitter()

    def take(piece: bytes) -> None:  # not by `on_line`, which keeps the last output: this command never ends
        for line in splitter.feed(piece):
            try:
                found = parse_reading(read_object(line))
            except ValueError:
                continue
            on_reading(found)

    ended = connection.run(
        remote_module("watch", "panel", f"{every.total_seconds():g}"),
        on_data=take,
        check=False,
        timeout_s=None,
        stall_s=every.total_seconds() + _TIMEOUT_S,
    )
    raise _failed(connection, ended.said)


def ask_activity(connection: Connection) -> str:
    """A week of samples in brief as JSON for `parse_activity` (remote/watch/activity.py)."""
    return _ask(connection, "activity")


def parse_activity(text: str) -> Activity:
    """Raises ValueError for an invalid answer."""
    answer = read_object(text)
    return Activity(
        spans=tuple(_span(*as_list(one, length=4)) for one in answer.array("spans")),
        gpu=tuple(_point(*as_list(one, length=2)) for one in answer.array("gpu")),
        cpu=tuple(_point(*as_list(one, length=2)) for one in answer.array("cpu")),
        stops=tuple(
            (as_moment(at), as_text(why))
            for at, why in (as_list(one, length=2) for one in answer.array("stops"))
        ),
    )


def _span(begin: object, end: object, state: object, signals: object) -> Span:
    return Span(
        begin=as_moment(begin),
        end=as_moment(end),
        state=as_text(state),
        signals=tuple(as_text(name) for name in as_list(signals)),
    )


def _point(at: object, value: object) -> tuple[datetime, float]:
    return as_moment(at), as_number(value)


def _change(fields: Fields) -> Change:
    return Change(
        at=fields.moment("wall"),
        state=fields.text("event", "") or ("stop" if fields.flag("stop") else fields.text("state")),
        reason=fields.text("reason", ""),
        stops_in=fields.span_or_none("stops_in"),
        signals=tuple((name, as_text(text)) for name, text in fields.items("signals")),
    )


def _ask(connection: Connection, *words: str) -> str:
    result = connection.run(remote_module("watch", *words), check=False, timeout_s=_TIMEOUT_S)
    if result.exit_status != 0:
        raise _failed(connection, result.said)
    return result.stdout


def _failed(connection: Connection, why: str) -> MachineError:
    return MachineError(
        f"the watcher on the box failed: {why}",
        where=connection.host.name,
        remedy="`gpu-box up` sets it up again; `gpu-box status` shows what is armed.",
    )


def parse(fields: Fields) -> WatchState:
    """Ignore the fields of another version. Raises Malformed."""
    verdict = fields.inside("verdict")
    signals = [(name, Fields(signal)) for name, signal in fields.items("signals")]
    layers = [(name, Fields(layer)) for name, layer in fields.items("layers")]
    return WatchState(
        state=verdict.text("state", "unknown"),
        reason=verdict.text("reason", "no sample yet"),
        stops_in=verdict.span_or_none("stops_in"),
        signals=tuple(
            Signal(
                name=name,
                text=signal.text("text", ""),
                quiet=signal.span_or_none("quiet"),
                unknown=signal.flag("held"),
            )
            for name, signal in signals
        ),
        layers=tuple(
            Layer(name=name, armed=layer.flag("armed"), detail=layer.text("detail", ""))
            for name, layer in layers
        ),
        stopped=parse_record(fields.inside("stopped")) if fields.has("stopped") else None,
        cause=verdict.text("cause", "idle"),
        deadline=fields.moment_or_none("deadline"),
        complaints=fields.texts("complaints"),
    )


def parse_reading(fields: Fields) -> Reading:
    """fields: a line of `python3 -m watch panel`. Raises Malformed."""
    status = fields.inside("status")
    return Reading(
        at=fields.moment("at"),
        watch=parse(status),
        cores=fields.whole("cores", most=100_000),
        load=fields.number("load"),
        memory=_memory(fields) if fields.has("memory") else None,
        gpus=tuple(_gpu(Fields(gpu)) for gpu in fields.array("gpus")) if fields.has("gpus") else None,
        tasks=tuple(_tasks(status)),
    )


def _gpu(fields: Fields) -> Gpu:
    return Gpu(
        name=fields.text("name"),
        percent=fields.number_or_none("percent"),
        memory=_memory(fields),
        celsius=fields.number_or_none("celsius", least=-300, most=10_000),
    )


def _memory(fields: Fields) -> tuple[float, float]:
    used, total = as_list(fields.array("memory"), length=2)
    return as_number(used), as_number(total)


def _tasks(status: Fields) -> Iterator[Task]:
    signals = status.inside("signals")
    kernels = signals.inside("jupyter")
    if kernels.has("reading"):
        for kernel in map(Fields, kernels.inside("reading").array("kernels")):
            doing = f"{kernel.text('state')}, {_uses(kernel)}"
            yield Task(kind="kernel", name=kernel.text("name"), doing=doing)
    jobs = signals.inside("job").value("reading")
    for job in map(Fields, jobs if isinstance(jobs, list) else ()):  # an object says why it cannot tell
        if job.flag("queued"):
            yield Task(kind="queue", name=job.text("name"), doing="waits")
        else:
            yield Task(kind="job", name=job.text("name"), doing=_uses(job))


def _uses(process: Fields) -> str:
    gpu = ", on the GPU" if process.flag("gpu") else ""
    return f"{process.number('cores', 0):.2f} cores{gpu}"
