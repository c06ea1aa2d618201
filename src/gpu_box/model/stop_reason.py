"""PURE: why a box stopped, from its own record, EC2's description and what was armed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gpu_box.model.answer import Fields, Malformed, as_text
from gpu_box.model.observed import Deadline, Instance, InstanceState, Stopped

# EventBridge Scheduler fires within a minute ("60 s precision"); clocks differ slightly.
_DEADLINE_GRACE = timedelta(minutes=3)
_CLOCKS_DIFFER = timedelta(minutes=2)
# The record precedes the end: by two minutes after AWS's notice ("Spot Instance interruption notices"),
# otherwise by the time for jobs to save and for the forced shutdown (remote/watch/stop.py: SAVING, FORCED).
_SHUTDOWN = timedelta(minutes=2)
_COMMAND_GRACE = timedelta(minutes=15)  # `stopping` can last for minutes
# StateTransitionReason: "User initiated (2026-11-23 14:02:11 GMT)".
_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
_BY_ITSELF, _BY_USER = "Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"
_OTHERS = {
    "Server.SpotInstanceShutdown": "interrupted by AWS, which needed the capacity; EC2 restarts it by itself",
    "Server.SpotInstanceTermination": "interrupted by AWS, which needed the capacity; the disk is gone",
    "Server.ScheduledStop": "AWS scheduled this stop: the host is retired",
    "Server.InsufficientInstanceCapacity": "AWS had no capacity to start it",
    "Server.InternalError": "AWS failed to start it",
    "Client.InternalError": "its disk could not be read at the start (often because of its encryption key)",
}


def parse_record(record: Fields) -> Stopped | None:
    """A layer's record on the box (remote/watch/stop.py: `record`); None if it is invalid."""
    try:
        return Stopped(
            layer=record.text("layer"),
            reason=record.text("reason"),
            at=record.moment("wall"),
            signals=tuple((name, as_text(text)) for name, text in record.items("signals")),
            last_use=_last_use(record),
        )
    except Malformed:
        return None


def stopped_at(transition: str) -> datetime | None:
    """The time in EC2's StateTransitionReason; None for a shutdown from inside, which has none."""
    found = _TRANSITION.search(transition)
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class SessionEnd:
    """When a session ended."""

    at: datetime  # aware
    guessed: bool  # whether `at` is only the latest possible moment


def session_end(
    launched: datetime, *, transition: str, deadline: datetime | None, left: Stopped | None, now: datetime
) -> SessionEnd:
    """When the session that began at `launched` ended, at most `now`. Times are aware.

    EC2's own time is used first. It is missing for a shutdown from inside ("User initiated" alone:
    github.com/cloud-custodian/cloud-custodian/issues/6924). Next is the box's record, if it belongs to this
    session, then the latest possible moment. deadline: when AWS stops this instance.
    """
    latest = max(launched, latest_end(launched, deadline, now))
    ended = stopped_at(transition)
    if ended and ended > launched - timedelta(seconds=1):  # whole seconds; else an earlier stop
        return SessionEnd(at=min(max(ended, launched), max(now, launched)), guessed=False)
    if at := recorded_end(left, launched, latest):
        return SessionEnd(at=at, guessed=False)
    return SessionEnd(at=latest, guessed=True)


def latest_end(launched: datetime, deadline: datetime | None, now: datetime) -> datetime:
    """The latest possible end of a session: now, or when AWS stopped it at its deadline."""
    of_this_session = deadline is not None and deadline > launched
    return min(now, deadline + _DEADLINE_GRACE) if deadline and of_this_session else now


def recorded_end(left: Stopped | None, launched: datetime, latest: datetime) -> datetime | None:
    """The end of a session by the box's record; None if the record is of another session or impossible."""
    if left is None or left.at is None or not launched <= left.at <= latest + _CLOCKS_DIFFER:
        return None
    return min(left.at + _SHUTDOWN, latest)


def why(
    instance: Instance, deadline: Deadline | None, left: Stopped | None, *, now: datetime
) -> Stopped | None:
    """Why `instance` is stopped or stopping; None if it is not.

    left: the box's record, from its console or its disk; ignored if it is of another session or in the
    future. now: aware.
    """
    if instance.exists and instance.state.bills:
        return None
    at_latest = latest_end(
        instance.launched, deadline.at if deadline and deadline.instance_id == instance.id else None, now
    )
    mine = left if recorded_end(left, instance.launched, at_latest) else None
    at = stopped_at(instance.transition)
    by_user = instance.reason_code == _BY_USER
    # A box that was notified of an interruption and stopped too late does not know EC2's reason.
    too_late = mine and mine.layer == "AWS" and instance.reason_code != _BY_ITSELF
    if mine and mine.layer != "outside" and not by_user and not too_late:
        return mine
    layer, reason = _by_whom(instance, deadline, at) if by_user else _of_itself(instance, mine)
    return Stopped(
        layer=layer,
        reason=reason,
        at=at or (mine.at if mine else None),
        signals=mine.signals if mine else (),
        last_use=mine.last_use if mine else None,
    )


def _of_itself(instance: Instance, left: Stopped | None) -> tuple[str, str]:
    if instance.reason_code == _BY_ITSELF and left:
        return "box", "shut down on the box itself, by a user or a program, not by gpu-box"
    if instance.reason_code == _BY_ITSELF:
        # AWS shows the console late, cut off, and for an hour: a missing record proves nothing.
        return "box", "shut down on the box itself; reason not known yet: `gpu-box up` reads it from the box"
    return "AWS", _OTHERS.get(instance.reason_code) or instance.reason or "no reason given"


def _by_whom(instance: Instance, deadline: Deadline | None, at: datetime | None) -> tuple[str, str]:
    """EC2 gives the same code for every caller of StopInstances."""
    asked = instance.stop_asked
    if asked and asked.at >= instance.launched and (at is None or abs(asked.at - at) < _COMMAND_GRACE):
        return "command", f"gpu-box stop, by {asked.by}"
    mine = deadline if deadline and deadline.instance_id == instance.id else None
    if mine and at and abs(at - mine.at) < _DEADLINE_GRACE:
        return "deadline", f"the deadline passed at {mine.at.astimezone():%H:%M}, and AWS stopped the box"
    return "AWS", "stopped in AWS, not by gpu-box: by the console, the AWS CLI or a script"


def _last_use(record: Fields) -> tuple[str, datetime] | None:
    if not record.has("last_used"):
        return None
    last_use = record.inside("last_used")
    return last_use.text("what"), last_use.moment("wall")


def stopped_for(instance: Instance, now: datetime) -> timedelta | None:
    """How long the instance has been stopped; None if it is not stopped. now: aware.

    EC2 does not record when an instance shut itself down; then count from its last start, a little earlier.
    """
    if instance.state is not InstanceState.STOPPED:
        return None
    return now - (stopped_at(instance.transition) or instance.launched)


def is_forgotten(instance: Instance, now: datetime, *, after: timedelta) -> bool:
    """Whether it has been stopped for longer than `after`, which is limits.forgotten_after."""
    duration = stopped_for(instance, now)
    return duration is not None and duration > after
