"""A session whose end is unknown: the cost is never underestimated, and a refusal says that it is an
estimate.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.model.observed import Deadline, Guess, InstanceState, Observed, Stopped
from gpu_box.model.stop_reason import SessionEnd
from gpu_box.plan import budget
from gpu_box.plan.box import correct_session, count_guessed
from gpu_box.plan.notes import CorrectSession, CountSession

from .test_box import NOW, RATES, ROLE, facts, instance, up, world
from .test_box import budget as budget_of

LAUNCHED = NOW - timedelta(hours=10)
BY_ITSELF = instance(InstanceState.STOPPED, launched=LAUNCHED, transition="User initiated")
GUESS = Guess(launched=LAUNCHED, until=NOW - timedelta(hours=2), usd_hour=Decimal("0.50"))


def armed(hours: float, one: Observed) -> Observed:
    """AWS's deadline, in hours from now."""
    at = NOW + timedelta(hours=hours)
    return replace(one, deadline=Deadline(instance_id="i-1", at=at, role_arn=ROLE))


def month(observed: Observed) -> Decimal:
    return budget.spent(observed, RATES, now=NOW).month


@pytest.mark.parametrize(
    ("deadline", "hours"),
    [
        pytest.param(11, 10, id="until now"),
        pytest.param(-4, "6.05", id="until its deadline, and as long as AWS takes"),
        pytest.param(-12, 10, id="a deadline of an earlier session says nothing"),
    ],
)
def test_a_session_of_unknown_end_counts_as_long_as_it_may_have_lasted(
    deadline: float, hours: Decimal | int
) -> None:
    observed = armed(deadline, world(BY_ITSELF))
    assert month(observed) == Decimal(hours) / 2
    assert sum(budget.days(observed, RATES, now=NOW).running.values()) == Decimal(hours) / 2


def test_it_is_counted_before_the_budget_is_planned_with_so_that_the_console_is_asked() -> None:
    def first(observed: Observed, config: Config) -> list[str]:
        return [type(step).__name__ for step in count_guessed(config, facts(observed))]

    with_budget = budget_of("50")
    assert first(world(BY_ITSELF), with_budget) == ["CountSession"]
    assert first(world(BY_ITSELF), Config()) == [], "nothing depends on it: it is counted beside the rest"
    found = replace(BY_ITSELF, transition="User initiated (2026-11-23 01:00:00 GMT)")
    assert first(world(found), with_budget) == []
    assert first(world(replace(BY_ITSELF, spent_until=LAUNCHED)), with_budget) == []
    assert first(world(instance()), with_budget) == []
    unread = world(BY_ITSELF, deadline=None, deadline_unread="Scheduler does not answer")
    assert first(unread, with_budget) == [], "without its deadline the guess would be far too much"


@pytest.mark.parametrize("counted", [False, True])
def test_a_budget_that_a_guess_spends_is_refused_with_how_to_go_on(counted: bool) -> None:
    spent = ((NOW.date(), Decimal(4)),)
    noted = replace(BY_ITSELF, guess=GUESS, spent=spent, spent_until=LAUNCHED)
    with pytest.raises(InputError) as refused:
        up(world(noted if counted else BY_ITSELF), budget_of("5"))
    assert "a guess" in refused.value.what and "may be spent" in refused.value.what
    assert "Raise limits.budget for one `gpu-box up`" in str(refused.value.remedy)


def test_a_budget_that_is_spent_without_the_guess_is_refused_as_spent() -> None:
    spent = ((NOW.date(), Decimal(9)),)
    noted = replace(BY_ITSELF, guess=GUESS, spent=spent, spent_until=LAUNCHED)
    with pytest.raises(InputError, match="budget is spent"):
        up(world(noted), budget_of("5"))


def test_a_warning_of_the_budget_says_how_much_of_it_is_a_guess() -> None:
    guessed = budget.guessed_usd(GUESS, now=NOW)
    assert guessed == 4
    warning = budget.budget_warning(Decimal(6), Decimal(10), guessed=guessed)
    assert warning is not None and "up to $4.00 of it a guess" in warning
    assert budget.guessed_usd(GUESS, now=NOW + timedelta(days=30)) == 0, "of another month"


def left(hours: float) -> Stopped:
    """The box's record, in hours after the launch."""
    return Stopped(layer="watcher", reason="idle 30 min", at=LAUNCHED + timedelta(hours=hours))


def test_the_box_s_own_record_ends_a_guessed_session_once() -> None:
    running = instance(guess=GUESS, spent=((NOW.date(), Decimal(4)),))
    [step] = correct_session(running, left(1))
    assert isinstance(step, CorrectSession)
    assert step.ended == LAUNCHED + timedelta(hours=1, minutes=2)
    assert correct_session(replace(running, guess=None), left(1)) == []


@pytest.mark.parametrize("record", [None, left(-1), left(9), left(1_000_000), replace(left(1), at=None)])
def test_a_record_of_another_session_or_a_forged_one_corrects_nothing(record: Stopped | None) -> None:
    assert correct_session(instance(guess=GUESS), record) == []


def test_what_is_noted_is_what_ec2_and_the_deadline_say() -> None:
    [count] = [step for step in up(armed(-4, world(BY_ITSELF))) if isinstance(step, CountSession)]
    assert count.deadline == NOW - timedelta(hours=4) and count.transition == "User initiated"
    found = budget.uncounted_end(world(BY_ITSELF), now=NOW)
    assert found == SessionEnd(at=NOW, guessed=True)
