"""PURE: what a box has cost per day and month, and when a budget will be spent. In UTC, as AWS bills.

The instance's tags keep finished sessions, one tag per month: the n-th number is the cost of the n-th day in
thousandths of a dollar (instance and address; the disk's cost follows from its age). So every laptop knows
them, and a session is not lost when the next start overwrites its LaunchTime.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal

from gpu_box.model.price import HOURS_PER_MONTH

Days = Mapping[date, Decimal]
"""US dollars per day."""

# EC2 bills Linux per second, at least one minute (EC2 pricing, "Per second billing").
_LEAST = timedelta(minutes=1)
# EBS bills the share of a month for which a volume exists.
_MONTH = timedelta(hours=HOURS_PER_MONTH)
_MONTH_TAG = "%Y-%m"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """US dollars. hour: instance and address, while running. disk_month: always."""

    hour: Decimal
    disk_month: Decimal

    def disk(self, span: timedelta) -> Decimal:
        return self.disk_month * _hours(span) / _hours(_MONTH)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """US dollars until now: since the last start, today and this month; the last two include the disk."""

    session: Decimal
    today: Decimal
    month: Decimal


def session_days(start: datetime, end: datetime, usd_hour: Decimal) -> dict[date, Decimal]:
    """The cost per day of a run from start to end (aware)."""
    start, end = start.astimezone(UTC), max(end.astimezone(UTC), start.astimezone(UTC) + _LEAST)
    days: dict[date, Decimal] = {}
    while start < end:
        until = min(end, _midnight(start.date() + timedelta(days=1)))
        days[start.date()] = usd_hour * _hours(until - start)
        start = until
    return days


def disk_days(rates: Rates, created: datetime, now: datetime, *, since: date) -> dict[date, Decimal]:
    """The disk's cost per day from `since` on."""
    days: dict[date, Decimal] = {}
    day = max(since, created.astimezone(UTC).date())
    while (begin := _midnight(day)) < now:
        days[day] = _disk(rates, created, begin, min(now, begin + timedelta(days=1)))
        day += timedelta(days=1)
    return days


def added(*parts: Days) -> dict[date, Decimal]:
    total: dict[date, Decimal] = {}
    for days in parts:
        for day, usd in days.items():
            total[day] = total.get(day, Decimal(0)) + usd
    return total


def corrected(days: Days, counted: Days, actual: Days) -> dict[date, Decimal]:
    """Replace a session counted as `counted` in `days` by its `actual` cost; no day falls below zero.

    Rounded to thousandths, as tags hold it, so that other sessions' costs stay exactly the same.
    """
    out = {day: -usd for day, usd in _as_tagged(counted).items()}
    return {day: max(Decimal(0), usd) for day, usd in added(days, out, _as_tagged(actual)).items()}


def _as_tagged(days: Days) -> dict[date, Decimal]:
    return from_tags(to_tags(days).items())


def to_tags(days: Days) -> dict[str, str]:
    """{"2026-11": "1520 0 880"}. A tag value has at most 256 characters, enough for 31 days of $9,999."""
    months: dict[str, dict[int, Decimal]] = {}
    for day, usd in days.items():
        months.setdefault(day.strftime(_MONTH_TAG), {})[day.day] = usd
    return {
        month: " ".join(str(_thousandths(known.get(day, Decimal(0)))) for day in range(1, max(known) + 1))
        for month, known in months.items()
    }


def from_tags(tags: Iterable[tuple[str, str]]) -> dict[date, Decimal]:
    """tags: ("2026-11", "1520 0 880"). Invalid values, such as those edited by hand, are skipped."""
    days: dict[date, Decimal] = {}
    for month, value in tags:
        with suppress(ValueError):
            days |= from_tag(month, value)
    return days


def from_tag(month: str, value: str) -> dict[date, Decimal]:
    """One month. Raises ValueError unless `to_tags` could have written it."""
    words = value.split()
    try:
        first = datetime.strptime(month, _MONTH_TAG).date()
        if not 2000 <= first.year < 3000 or not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError
        days = {first.replace(day=n): Decimal(int(word)) / 1000 for n, word in enumerate(words, start=1)}
    except ValueError:
        raise ValueError("not a list of daily costs of a month") from None
    return {day: usd for day, usd in days.items() if usd}


def spent(
    finished: Days, *, launched: datetime | None, disk_since: datetime | None, rates: Rates, now: datetime
) -> Spent:
    """finished: earlier sessions. launched: start of the running session, or None. Times are aware."""
    now = now.astimezone(UTC)
    running = session_days(launched, now, rates.hour) if launched else {}
    days = added(finished, running)
    day, month = _midnight(now.date()), _midnight(now.date().replace(day=1))
    return Spent(
        session=sum(running.values(), Decimal(0)),
        today=days.get(now.date(), Decimal(0)) + _disk(rates, disk_since, day, now),
        month=sum((usd for d, usd in days.items() if d >= month.date()), Decimal(0))
        + _disk(rates, disk_since, month, now),
    )


def budget_end(budget: Decimal, month: Decimal, rates: Rates, now: datetime) -> datetime:
    """When a box that keeps running exhausts the month's budget, with its disk's cost set aside.

    month: US dollars spent this month. A result in the past means it is spent already. A new month brings a
    new budget.
    """
    now = now.astimezone(UTC)
    following = (now.date().replace(day=1) + timedelta(days=32)).replace(day=1)
    end = _midnight(following)
    left = budget - month - rates.disk(end - now)
    at = now + _lasts(left, rates)
    if at <= end:
        return at
    length = timedelta(days=calendar.monthrange(following.year, following.month)[1])
    return end + max(timedelta(0), _lasts(budget - rates.disk(length), rates))


def reached(usd: Decimal, month: Decimal, rates: Rates, now: datetime) -> datetime | None:
    """When this month's cost reaches `usd` if the box keeps running; None if it does not.

    month: US dollars spent this month.
    """
    now = now.astimezone(UTC)
    an_hour = rates.hour + rates.disk(timedelta(hours=1))
    if usd <= month or not an_hour:
        return None
    at = now + min(timedelta(days=62), timedelta(seconds=float((usd - month) / an_hour * 3600)))
    return at if (at.year, at.month) == (now.year, now.month) else None


def _lasts(usd: Decimal, rates: Rates) -> timedelta:
    longest = timedelta(days=62)  # longer than any limit
    if not rates.hour:
        return longest
    return min(longest, timedelta(seconds=float(usd / rates.hour * 3600)))


def _disk(rates: Rates, since: datetime | None, start: datetime, end: datetime) -> Decimal:
    if since is None:
        return Decimal(0)
    return rates.disk(max(timedelta(0), end - max(start, since.astimezone(UTC))))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _hours(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(milliseconds=1)) / 3_600_000


def _thousandths(usd: Decimal) -> int:
    return int((usd * 1000).quantize(Decimal(1), ROUND_HALF_UP))
