"""PURE: why a box stopped, put together from what it left itself, what EC2 says, and what was armed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gpu_box.model.answer import NONSENSE
from gpu_box.model.observed import Deadline, Instance, InstanceState, Stopped

# EventBridge Scheduler fires within a minute ("60 s precision"); clocks differ a little.
_DEADLINE_GRACE = timedelta(minutes=3)
_CLOCKS_DIFFER = timedelta(minutes=2)
# A record comes before the end: at AWS's notice two minutes ("Spot Instance interruption notices"), else as
# long as jobs have to save and a shutdown has before it is forced (remote/watch/stop.py: SAVING, FORCED).
_SHUTDOWN = timedelta(minutes=2)
_COMMAND_GRACE = timedelta(minutes=15)  # `stopping` can last for minutes
# StateTransitionReason: "User initiated (2026-11-23 14:02:11 GMT)".
_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
_BY_ITSELF, _BY_USER = "Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"
_OTHERS = {
    "Server.SpotInstanceShutdown": "interrupted by AWS: spot capacity was needed; EC2 starts it by itself",
    "Server.SpotInstanceTermination": "interrupted by AWS: spot capacity was needed; its disk is gone",
    "Server.ScheduledStop": "AWS had scheduled this stop: its host is retired",
    "Server.InsufficientInstanceCapacity": "AWS had no capacity to start it",
    "Server.InternalError": "AWS failed to start it",
    "Client.InternalError": "its disk could not be read at the start (a key of its encryption, often)",
}


def parse_record(record: Mapping[str, Any]) -> Stopped | None:
    """What a layer left on the box (remote/watch/stop.py: `record`), or None where it is no such thing."""
    try:
        return Stopped(
            layer=str(record["layer"]),
            reason=str(record["reason"]),
            at=datetime.fromtimestamp(float(record["wall"]), UTC),
            signals=tuple((str(k), str(v)) for k, v in (record.get("signals") or {}).items()),
            last_use=_last_use(record.get("last_used")),
        )
    except NONSENSE:
        return None


def stopped_at(transition: str) -> datetime | None:
    """When, from EC2's StateTransitionReason; None where that does not tell: shut down from inside."""
    found = _TRANSITION.search(transition)
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class SessionEnd:
    """When a session ended."""

    at: datetime  # aware
    guessed: bool  # whether `at` is only the latest moment possible


def session_end(
    launched: datetime, *, transition: str, deadline: datetime | None, left: Stopped | None, now: datetime
) -> SessionEnd:
    """When the session that began at `launched` ended, never later than `now`. Times are aware.

    EC2's own time counts first. It gives none for a shutdown from inside ("User initiated" alone:
    github.com/cloud-custodian/cloud-custodian/issues/6924). Then the box's record counts, if it is of this
    session; else the latest moment possible. deadline: at which AWS stops this instance.
    """
    latest = max(launched, latest_end(launched, deadline, now))
    told = stopped_at(transition)
    if told and told > launched - timedelta(seconds=1):  # in whole seconds; sooner: of an earlier stop
        return SessionEnd(at=min(max(told, launched), max(now, launched)), guessed=False)
    if at := recorded_end(left, launched, latest):
        return SessionEnd(at=at, guessed=False)
    return SessionEnd(at=latest, guessed=True)


def latest_end(launched: datetime, deadline: datetime | None, now: datetime) -> datetime:
    """When a session ended at the latest: now, or when AWS had stopped it at its deadline."""
    of_this_session = deadline is not None and deadline > launched
    return min(now, deadline + _DEADLINE_GRACE) if deadline and of_this_session else now


def recorded_end(left: Stopped | None, launched: datetime, latest: datetime) -> datetime | None:
    """When a session ended by the box's record; None if the record is not of this session, or false."""
    if left is None or left.at is None or not launched <= left.at <= latest + _CLOCKS_DIFFER:
        return None
    return min(left.at + _SHUTDOWN, latest)


def why(
    instance: Instance, deadline: Deadline | None, left: Stopped | None, *, now: datetime
) -> Stopped | None:
    """Why `instance` is stopped or stopping; None while it is not.

    left: what the box itself left, on its console or its disk; a record of another session, or of a time
    that is still to come, is disregarded. now: aware.
    """
    if instance.exists and instance.state.bills:
        return None
    at_latest = latest_end(
        instance.launched, deadline.at if deadline and deadline.instance_id == instance.id else None, now
    )
    mine = left if recorded_end(left, instance.launched, at_latest) else None
    at = stopped_at(instance.transition)
    by_user = instance.reason_code == _BY_USER
    # The box that told of an interruption and was then too late does not know what EC2 says of it.
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
        return "box", "shut down on the box itself, by no layer of gpu-box: somebody's shutdown"
    if instance.reason_code == _BY_ITSELF:
        # AWS shows a console late, cut, and for an hour: its silence says nothing about who it was.
        return "box", "shut down on the box itself; why is not known yet: `gpu-box up` reads it from the box"
    return "AWS", _OTHERS.get(instance.reason_code) or instance.reason or "it does not tell why"


def _by_whom(instance: Instance, deadline: Deadline | None, at: datetime | None) -> tuple[str, str]:
    """EC2 says of all who call StopInstances that they are the user."""
    asked = instance.stop_asked
    if asked and asked.at >= instance.launched and (at is None or abs(asked.at - at) < _COMMAND_GRACE):
        return "command", f"`gpu-box stop`, by {asked.by}"
    mine = deadline if deadline and deadline.instance_id == instance.id else None
    if mine and at and abs(at - mine.at) < _DEADLINE_GRACE:
        return "deadline", f"its time was up at {mine.at.astimezone():%H:%M}: AWS stopped it from outside"
    return "AWS", "stopped in AWS, not by gpu-box: the console, the aws command or a script"


def _last_use(told: Any) -> tuple[str, datetime] | None:
    if not told:
        return None
    return str(told["what"]), datetime.fromtimestamp(float(told["wall"]), UTC)


def lying(instance: Instance, now: datetime) -> timedelta | None:
    """For how long it has been stopped; None while it is not. now: aware.

    Of one that shut itself down EC2 does not tell when: then since its last start, which is a little earlier.
    """
    if instance.state is not InstanceState.STOPPED:
        return None
    return now - (stopped_at(instance.transition) or instance.launched)


def is_forgotten(instance: Instance, now: datetime, *, after: timedelta) -> bool:
    """after: limits.forgotten_after."""
    stopped_for = lying(instance, now)
    return stopped_for is not None and stopped_for > after
