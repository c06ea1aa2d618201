"""Jobs, as the box describes them (remote/jobs/describe.py)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from gpu_box.model.answer import Fields, as_whole

State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
STATES: tuple[State, ...] = get_args(State)
LAST_STATUS = 255


@dataclass(frozen=True, kw_only=True)
class JobState:
    """exit_status: None while the job waits or runs; 128 + N if signal N ended it. Times are aware, in UTC.

    state: waiting in the queue; interrupted by AWS, to be resumed by the next `up`. gpus: on which it
    computes now, by number, or which the queue gave it.
    """

    name: str
    command: str
    state: State
    exit_status: int | None
    started: datetime | None  # None while it waits
    ended: datetime | None  # also None if it is not known
    took: timedelta | None  # so far, while it runs
    gpus: tuple[int, ...]
    pull: tuple[str, ...] = ()  # patterns of files below ~/work to copy here

    @property
    def running(self) -> bool:
        return self.exit_status is None and self.state != "waiting"


@dataclass(frozen=True, kw_only=True)
class Queue:
    """How a job joins the box's queue. gpus: how many it needs; 0: one, if the box has any.

    number: if the box has a job of that name, take the next free one (train-2).
    """

    gpus: int = 0
    number: bool = False


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """was: its state before. left: its processes that could not be ended."""

    job: str
    was: State
    exit_status: int | None
    left: int


def parse_job(each: Any, now: datetime) -> JobState | None:
    """None for an invalid record."""
    try:
        fields = Fields(each)
        status = fields.whole_or_none("exit_status", most=LAST_STATUS)
        state = known_state(fields.text("state", ""), status)
        begun = state != "waiting" and not (fields.text("started", "") == "" and status is not None)
        started = _moment(fields.text("started")) if begun else None
        ended = _moment(fields.text("ended", "")) if fields.text("ended", "") else None
        until = now if status is None else ended
        return JobState(
            name=fields.text("name"),
            command=fields.text("command", lines=True),
            state=state,
            exit_status=status,
            started=started,
            ended=ended,
            took=max(until - started, timedelta(0)) if until and started else None,
            gpus=tuple(as_whole(gpu) for gpu in fields.array("gpus")),
            pull=fields.texts("pull"),
        )
    except ValueError:
        return None


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def known_state(state: str, exit_status: int | None) -> State:
    """A box with an older copy of remote/ gives no state."""
    said = next((each for each in STATES if each == state), None)
    return said or ("running" if exit_status is None else "failed" if exit_status else "done")
