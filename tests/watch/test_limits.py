"""The time limits: this session's deadline replaces the box's own limits; an earlier session's does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from traces.builder import START, Box
from traces.decide import decide

from watch.limits import nearest, text
from watch.policy import Policy
from watch.sample import Used, parse

BOOT = 1_800_000_000.0  # Unix time
HOUR = 3600.0


@dataclass
class At:
    """The fields of a sample that the limits use."""

    up: float  # s since boot
    wall: float


def at(hours: float, *, clock_ahead: float = 0.0) -> At:
    return At(up=hours * HOUR, wall=BOOT + hours * HOUR + clock_ahead)


def limit(sample: At, policy: Policy) -> tuple[str, float]:
    return nearest(sample, (BOOT, 0.0), policy)


def test_max_hours_count_from_boot():
    assert limit(at(3), Policy(max_hours=12)) == ("max_hours", 9 * HOUR)


def test_this_session_s_deadline_replaces_the_other_limits():
    # `extend` moved it past max_hours; another session's budget put it before.
    assert limit(at(3), Policy(max_hours=4, deadline=BOOT + 7 * HOUR)) == ("deadline", 4 * HOUR)
    assert limit(at(3), Policy(max_hours=12, deadline=BOOT + 5 * HOUR)) == ("deadline", 2 * HOUR)


@pytest.mark.parametrize("ended", [-9 * HOUR, 0.0, 200.0])
def test_an_earlier_session_s_deadline_does_not_apply(ended):
    assert limit(at(3), Policy(max_hours=12, deadline=BOOT + ended)) == ("max_hours", 9 * HOUR)


def test_a_deadline_that_has_passed_stops_it():
    cause, left = limit(at(8), Policy(deadline=BOOT + 7 * HOUR))
    assert (cause, left) == ("deadline", -HOUR)


def test_a_clock_set_forward_does_not_bring_the_deadline_nearer():
    assert limit(at(3, clock_ahead=24 * HOUR), Policy(deadline=BOOT + 7 * HOUR)) == ("deadline", 4 * HOUR)


def test_without_limits_only_idleness_stops_it():
    assert limit(at(300), Policy(max_hours=None)) == ("idle", float("inf"))


def test_the_reason_names_the_limit():
    assert text("max_hours", Policy(max_hours=12)) == "it ran for its max_hours (12 h)"
    assert text("stop_at", Policy(stop_at="23:00")) == "its stop_at (23:00)"


def test_the_reason_names_the_minutes_after_a_start_in_which_no_box_stops():
    policy = Policy(idle_after=120.0)
    early, late = decide(Box().run(2.5).samples, policy), decide(Box().run(4.8).samples, policy)
    assert not early.stop
    assert "stops no sooner than 5 min after its start" in early.reason
    assert late.stop
    assert "no sooner" not in late.reason
    assert "no sooner" not in decide(Box().run(2.5).samples, Policy()).reason


def test_a_negative_age_counts_as_use_now():
    used = decide(Box().run(1, ssh=(Used("pts/0", 0.0),)).samples, Policy())
    ahead = decide(Box().run(1, ssh=(Used("pts/0", -86_400.0),)).samples, Policy())
    assert ahead.stops_in == used.stops_in == 1800.0
    assert ahead.last_used[1] <= START + 60


def test_samples_out_of_order_add_no_idle_time():
    samples = Box().run(10).samples
    assert decide([*samples, *samples], Policy()).idle_for == decide(samples, Policy()).idle_for


def test_control_characters_in_a_recorded_name_are_not_printed():
    line = (
        '{"boot":"b","mono":20,"wall":1767225600,"up":20,"over":15,"cpu":{"value":1,"who":"a\\u001b]0;b\\u0007"},'
        '"job":[{"name":"x\\ny"}]}'
    )
    now = decide([parse(line)], Policy())
    assert "cpu (a?]0;b?)" in now.reason
    assert all(signal.text.isprintable() for signal in now.signals.values())
