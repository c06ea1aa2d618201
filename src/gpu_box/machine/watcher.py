"""Talking to the watcher on the box: hold it off, give it this session's deadline, ask what it decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gpu_box.errors import MachineError
from gpu_box.machine.connection import Connection
from gpu_box.machine.lines import LineSplitter
from gpu_box.machine.quoting import PYTHON, quote
from gpu_box.machine.watchstate import Look, parse_look
from gpu_box.model import Stopped
from gpu_box.stopped import parse_record

_TIMEOUT_S = 60.0


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
        told = json.loads(said.splitlines()[-1])  # a login may print before it
        changes = tuple(_change(one) for one in told["changes"])
        return changes, parse_record(told["stopped"]) if told["stopped"] else None
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise _failed(connection, f"it answers {said.strip()[-80:]!r}") from error


def look(connection: Connection, every: timedelta, on_look: Callable[[Look], None]) -> None:
    """The machine as it is, again and again, until on_look raises or the link breaks (MachineUnreachable)."""

    def take(line: str) -> None:
        try:
            found = parse_look(json.loads(line))
        except (ValueError, KeyError, TypeError):
            return  # a login may print before it
        on_look(found)

    command = f"cd ~/.gpu-box/remote && exec {PYTHON} -m watch panel {every.total_seconds():g}"
    ended = connection.run(command, on_data=_lines(take), check=False)
    raise _failed(connection, (ended.stderr.strip() or "it ended").splitlines()[-1])


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
        told = json.loads(text)
        return Activity(
            spans=tuple(
                Span(begin=_time(begin), end=_time(end), state=str(state), signals=tuple(signals))
                for begin, end, state, signals in told["spans"]
            ),
            gpu=tuple((_time(at), float(percent)) for at, percent in told["gpu"]),
            cpu=tuple((_time(at), float(cores)) for at, cores in told["cpu"]),
            stops=tuple((_time(at), str(reason)) for at, reason in told["stops"]),
        )
    except (KeyError, TypeError) as error:
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
        said = result.stderr.strip() or result.stdout.strip() or f"exit status {result.exit_status}"
        raise _failed(connection, said.splitlines()[-1])
    return result.stdout


def _failed(connection: Connection, why: str) -> MachineError:
    return MachineError(
        f"the watcher on the box does not take that: {why}",
        where=connection.host.name,
        remedy="`gpu-box up` sets it up anew; `gpu-box status` shows what is armed.",
    )
