"""Money by day and month: costs of sessions, their tags, and when a budget is spent."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_box.model.spending import (
    Rates,
    added,
    budget_end,
    corrected,
    from_tags,
    reached,
    session_days,
    spent,
    to_tags,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RATES = Rates(hour=Decimal("0.50"), disk_month=Decimal("7.30"))  # the disk: a cent an hour
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
spans = st.timedeltas(timedelta(minutes=1), timedelta(days=40))


def test_a_session_over_midnight_is_two_days() -> None:
    days = session_days(NOON, NOON + timedelta(hours=14), Decimal(1))
    assert days == {date(2026, 11, 23): 12, date(2026, 11, 24): 2}


def test_a_minute_is_the_least_that_ec2_bills() -> None:
    assert sum(session_days(NOON, NOON, Decimal(60)).values()) == 1


@given(moments, spans, st.timedeltas(timedelta(0), timedelta(1)))
def test_the_days_of_a_session_add_up_to_it(start: datetime, span: timedelta, cut: timedelta) -> None:
    hour = Decimal("0.526")
    whole = session_days(start, start + span, hour)
    assert abs(sum(whole.values()) - hour * Decimal(span.total_seconds()) / 3600) < Decimal("0.001")
    if timedelta(minutes=1) < cut < span - timedelta(minutes=1):
        parts = added(session_days(start, start + cut, hour), session_days(start + cut, start + span, hour))
        assert {d: round(v, 4) for d, v in parts.items()} == {d: round(v, 4) for d, v in whole.items()}


@given(
    st.dictionaries(st.dates(date(2026, 1, 1), date(2027, 12, 31)), st.integers(1, 9_999_999), max_size=62)
)
def test_tags_keep_every_day_to_the_tenth_of_a_cent(thousandths: dict[date, int]) -> None:
    days = {day: Decimal(value) / 1000 for day, value in thousandths.items()}
    tags = to_tags(days)
    assert from_tags(tags.items()) == days
    assert all(len(value) <= 256 for value in tags.values())  # EC2's limit


@given(moments, spans, spans, st.integers(0, 99_999))
def test_a_corrected_session_leaves_the_others_as_they_are(
    start: datetime, counted: timedelta, actual: timedelta, thousandths: int
) -> None:
    hour, others = Decimal("0.526"), {start.date(): Decimal(thousandths) / 1000}
    long, short = session_days(start, start + counted, hour), session_days(start, start + actual, hour)
    noted = from_tags(to_tags(added(others, long)).items())
    as_if = from_tags(to_tags(added(others, short)).items())
    assert from_tags(to_tags(corrected(noted, long, short)).items()) == as_if
    emptied = corrected({}, long, short)  # the tags were removed
    assert all(usd >= 0 for usd in emptied.values())


def test_a_correction_takes_out_what_the_tag_has_and_not_what_it_was_rounded_from() -> None:
    day = NOON.date()
    noted, counted, actual = Decimal("0.001"), Decimal("0.0014"), Decimal("0.0016")
    assert corrected({day: noted}, {day: counted}, {day: actual}) == {day: Decimal("0.002")}


def test_a_tag_edited_by_hand_spoils_only_itself() -> None:
    kept = from_tags([("2026-11", "100 x"), ("what", "1"), ("2026-02", "1 " * 40), ("2026-10", "0 1500")])
    assert kept[date(2026, 10, 2)] == Decimal("1.5")
    assert date(2026, 10, 1) not in kept


def test_session_today_and_month_count_the_disk_with_the_last_two() -> None:
    finished = {date(2026, 11, 1): Decimal(4), date(2026, 10, 31): Decimal(100)}
    result = spent(
        finished,
        launched=NOON - timedelta(hours=2),
        disk_since=NOON - timedelta(hours=10),
        rates=RATES,
        now=NOON,
    )
    assert result.session == Decimal(1)
    assert result.today == pytest.approx(Decimal("1.10"))
    assert result.month == pytest.approx(Decimal("5.10"))


def test_a_disk_older_than_the_day_counts_from_midnight() -> None:
    result = spent({}, launched=None, disk_since=NOON - timedelta(days=90), rates=RATES, now=NOON)
    assert result.session == 0
    assert result.today == pytest.approx(Decimal("0.12"))
    assert result.month == pytest.approx(Decimal("5.40"))  # 22.5 days


def test_a_budget_ends_when_what_is_left_beside_the_disk_is_spent() -> None:
    # The month has 180 hours left, for which the disk costs $1.80: of $20, $8.20 buys 16.4 h.
    end = budget_end(Decimal(20), Decimal(10), RATES, NOON)
    assert end == NOON + timedelta(hours=16.4)


def test_a_budget_that_is_spent_ended_in_the_past() -> None:
    assert budget_end(Decimal(20), Decimal(19), RATES, NOON) < NOON


def test_a_new_month_brings_a_budget_of_its_own() -> None:
    late = datetime(2026, 11, 30, 22, tzinfo=UTC)
    end = budget_end(Decimal("27.44"), Decimal(0), RATES, late)
    # $27.44 less December's disk, 744 h at a cent, is 40 h.
    assert end == datetime(2026, 12, 1, tzinfo=UTC) + timedelta(hours=40)


@given(moments, st.decimals(1, 1000, places=2), st.decimals(0, 1000, places=2), spans)
def test_running_on_does_not_move_the_end_of_the_budget(
    now: datetime, budget: Decimal, before: Decimal, ran: timedelta
) -> None:
    """The spending until then was included, so an armed deadline stays right."""
    end = budget_end(budget, before, RATES, now)
    later = now + ran
    if later >= end or (later.year, later.month) != (now.year, now.month):
        return
    month = before + RATES.hour * Decimal(ran.total_seconds()) / 3600 + RATES.disk(ran)
    assert abs(budget_end(budget, month, RATES, later) - end) < timedelta(seconds=2)


@given(
    usd=st.decimals(1, 500, places=2),
    month=st.decimals(0, 100, places=2),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
)
def test_a_sum_is_reached_when_the_month_has_cost_it(usd: Decimal, month: Decimal, at: datetime) -> None:
    rates = Rates(hour=Decimal("0.5"), disk_month=Decimal("7.30"))
    now = at.replace(tzinfo=UTC)
    found = reached(usd, month, rates, now)
    if found is None:
        later = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
        assert (
            usd <= month or usd - month > Decimal("0.51") * Decimal((later - now).total_seconds()) / 3600 - 1
        )
        return
    hours = Decimal((found - now).total_seconds()) / 3600
    assert abs(month + hours * Decimal("0.51") - usd) < Decimal("0.001")


def test_what_is_spent_already_is_not_reached_again() -> None:
    rates = Rates(hour=Decimal(1), disk_month=Decimal(0))
    assert reached(Decimal(5), Decimal(5), rates, datetime(2026, 5, 1, tzinfo=UTC)) is None
