"""Why a box stopped: EC2 calls every caller of StopInstances "the user"."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gpu_box.model.answer import Fields
from gpu_box.model.observed import Deadline, Instance, InstanceState, StopAsked, Stopped
from gpu_box.model.stop_reason import SessionEnd, parse_record, session_end, stopped_at, why

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
END = NOON + timedelta(hours=2)
NOW = NOON + timedelta(hours=9)
BY_USER, BY_ITSELF = "Client.UserInitiatedShutdown", "Client.InstanceInitiatedShutdown"
BOX = Instance(
    id="i-1",
    state=InstanceState.STOPPED,
    type="g4dn.xlarge",
    zone="us-east-1a",
    launched=NOON,
    reason_code=BY_USER,
    transition="User initiated (2026-11-23 14:00:00 GMT)",
)
SHUT_DOWN = replace(BOX, reason_code=BY_ITSELF, transition="")
RECORD = {
    "layer": "watcher",
    "reason": "idle 30 min",
    "wall": END.timestamp(),
    "signals": {"gpu": "0 %", "cpu": "none"},
    "last_used": {"what": "kernel lesson1.ipynb", "wall": END.timestamp() - 1800},
}
LEFT = parse_record(Fields(RECORD))


def deadline(at: datetime, instance_id: str = "i-1") -> Deadline:
    return Deadline(instance_id=instance_id, at=at, role_arn="arn")


def test_a_record_holds_the_figures_and_the_last_use() -> None:
    assert (
        Stopped(
            layer="watcher",
            reason="idle 30 min",
            at=END,
            signals=(("gpu", "0 %"), ("cpu", "none")),
            last_use=("kernel lesson1.ipynb", END - timedelta(minutes=30)),
        )
        == LEFT
    )


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"layer": "fuse"},
        {**RECORD, "wall": "soon"},
        {**RECORD, "signals": [1]},
        {**RECORD, "wall": 1e40},
        {**RECORD, "wall": float("nan")},
        {**RECORD, "wall": float("inf")},
        {**RECORD, "last_used": {"what": "x"}},
    ],
)
def test_what_is_no_record_is_none(broken: dict[str, object]) -> None:
    assert parse_record(Fields(broken)) is None


def test_a_box_that_runs_is_not_stopped() -> None:
    assert why(replace(BOX, state=InstanceState.RUNNING), None, LEFT, now=NOW) is None


def test_a_layer_on_the_box_tells_it_itself() -> None:
    assert why(SHUT_DOWN, deadline(END), LEFT, now=NOW) == LEFT


def test_a_record_of_an_earlier_session_is_disregarded() -> None:
    assert LEFT is not None
    old = replace(LEFT, at=NOON - timedelta(days=1))
    cause = why(SHUT_DOWN, None, old, now=NOW)
    assert cause is not None
    assert (cause.layer, cause.at, cause.signals) == ("box", None, ())
    assert "not known yet" in cause.reason


def test_a_shutdown_without_a_record_is_blamed_on_none() -> None:
    cause = why(SHUT_DOWN, None, None, now=NOW)
    assert cause is not None
    assert "not known yet" in cause.reason


def test_a_shutdown_that_the_box_saw_from_outside_was_no_layer() -> None:
    assert LEFT is not None
    cause = why(SHUT_DOWN, None, replace(LEFT, layer="outside", reason="shut down from outside"), now=NOW)
    assert cause is not None
    assert "not by gpu-box" in cause.reason


def test_the_deadline_is_recognized_by_its_time_with_the_figures_of_that_moment() -> None:
    assert LEFT is not None
    outside = replace(LEFT, layer="outside", reason="shut down from outside")
    cause = why(BOX, deadline(END - timedelta(seconds=20)), outside, now=NOW)
    assert cause is not None
    assert (cause.layer, cause.at) == ("deadline", END)
    assert cause.signals == LEFT.signals
    assert cause.last_use == LEFT.last_use


@pytest.mark.parametrize(
    "armed",
    [None, deadline(END, "i-2"), deadline(END + timedelta(hours=3)), deadline(END - timedelta(hours=1))],
)
def test_another_deadline_did_not_do_it(armed: Deadline | None) -> None:
    cause = why(BOX, armed, None, now=NOW)
    assert cause is not None
    assert cause.layer == "AWS"
    assert "not by gpu-box" in cause.reason


def test_our_own_stop_is_recognized_by_its_tag() -> None:
    cause = why(replace(BOX, stop_asked=StopAsked(at=END, by="ada")), deadline(END), None, now=NOW)
    assert cause is not None
    assert (cause.layer, cause.reason) == ("command", "gpu-box stop, by ada")


def test_the_tag_of_an_earlier_stop_does_not_explain_this_one() -> None:
    earlier = replace(BOX, stop_asked=StopAsked(at=NOON - timedelta(hours=1), by="ada"))
    cause = why(earlier, deadline(END), None, now=NOW)
    assert cause is not None
    assert cause.layer == "deadline"


def test_a_stop_from_outside_wins_over_what_the_watcher_was_about_to_do() -> None:
    cause = why(replace(BOX, stop_asked=StopAsked(at=END, by="ada")), None, LEFT, now=NOW)
    assert cause is not None
    assert cause.layer == "command"
    assert cause.signals


INTERRUPTED = parse_record(
    Fields({**RECORD, "layer": "AWS", "reason": "interrupted by AWS: spot capacity was needed"})
)


def test_a_spot_box_that_stopped_before_aws_took_it_tells_who_wanted_it() -> None:
    cause = why(SHUT_DOWN, None, INTERRUPTED, now=NOW)
    assert cause is not None
    assert (cause.layer, cause.at) == ("AWS", END)
    assert cause.reason == "interrupted by AWS: spot capacity was needed"


@pytest.mark.parametrize("left", [None, INTERRUPTED])
def test_an_interruption_before_the_box_s_own_stop_is_reported_with_its_restart(
    left: Stopped | None,
) -> None:
    transition = "Server.SpotInstanceShutdown (2026-11-23 14:00:00 GMT)"
    cause = why(
        replace(BOX, reason_code="Server.SpotInstanceShutdown", transition=transition), None, left, now=NOW
    )
    assert cause is not None
    assert (cause.layer, cause.at) == ("AWS", END)
    assert cause.reason == "interrupted by AWS, which needed the capacity; EC2 restarts it by itself"
    assert bool(cause.signals) == bool(left)


def test_a_stop_by_command_within_the_notice_is_the_commands() -> None:
    cause = why(replace(BOX, stop_asked=StopAsked(at=END, by="ada")), None, INTERRUPTED, now=NOW)
    assert cause is not None
    assert cause.layer == "command"


def test_an_unknown_reason_of_ec2_is_quoted() -> None:
    cause = why(
        replace(BOX, reason_code="Server.New", reason="Server.New: the roof leaks"), None, None, now=NOW
    )
    assert cause is not None
    assert cause.reason == "Server.New: the roof leaks"


@pytest.mark.parametrize(
    ("transition", "expected"),
    [("User initiated (2026-11-23 14:00:00 GMT)", END), ("User initiated", None), ("", None)],
)
def test_when_it_stopped_is_in_the_transition(transition: str, expected: datetime | None) -> None:
    assert stopped_at(transition) == expected


FUTURE = datetime(2090, 1, 1, tzinfo=UTC)


def ended(left: Stopped | None = None, *, transition: str = "", until: datetime | None = None) -> SessionEnd:
    """until: AWS's deadline of the instance."""
    return session_end(NOON, transition=transition, deadline=until, left=left, now=NOW)


def test_a_session_ended_when_ec2_says_so_whatever_the_box_says() -> None:
    assert ended(LEFT, transition="User initiated (2026-11-23 15:00:00 GMT)") == SessionEnd(
        at=NOON + timedelta(hours=3), guessed=False
    )


def test_a_session_ended_a_shutdown_after_the_record_that_the_box_left() -> None:
    assert ended(LEFT, transition="User initiated") == SessionEnd(
        at=END + timedelta(minutes=2), guessed=False
    )
    assert ended(LEFT, until=END - timedelta(minutes=3)) == SessionEnd(at=END, guessed=False)


def test_a_session_of_which_none_tells_may_have_lasted_until_its_deadline_or_now() -> None:
    armed = NOON + timedelta(hours=4)
    assert ended(until=armed) == SessionEnd(at=armed + timedelta(minutes=3), guessed=True)
    for of_no_use in (None, NOON - timedelta(hours=1), FUTURE):
        assert ended(until=of_no_use) == SessionEnd(at=NOW, guessed=True)


def test_a_stop_before_the_start_is_of_an_earlier_session() -> None:
    assert ended(transition="User initiated (2026-11-22 15:00:00 GMT)") == SessionEnd(at=NOW, guessed=True)


@pytest.mark.parametrize("at", [FUTURE, NOON - timedelta(seconds=1), NOON + timedelta(hours=5)], ids=str)
def test_a_forged_record_neither_ends_a_session_nor_tells_why(at: datetime) -> None:
    """In the future, before the start, after the deadline."""
    assert LEFT is not None
    forged, armed = replace(LEFT, at=at), NOON + timedelta(hours=4)
    assert ended(forged, until=armed) == ended(until=armed)
    cause = why(SHUT_DOWN, deadline(armed), forged, now=NOW)
    assert cause is not None and "not known yet" in cause.reason and cause.at is None
