"""PURE: what a box has cost so far, and when it will exhaust its budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.model import spending
from gpu_box.model.observed import Guess, Instance, Observed, Snapshot
from gpu_box.model.spending import Rates, Spent
from gpu_box.model.stop_reason import SessionEnd, session_end
from gpu_box.units import format_duration, format_money

MARKS = 50, 80, 100  # per cent of the budget, each with a notification
# The shortest useful run: less would stop the box before it is set up.
_LEAST_RUN = timedelta(minutes=10)
_LONGEST_RUN = timedelta(days=365)
_NO_USD = Decimal(0)


def spent(observed: Observed, rates: Rates, *, now: datetime) -> Spent:
    """The cost so far. now: aware.

    A last session with an unknown end counts until its deadline or now, so the cost is never underestimated.
    """
    instance = observed.instance
    created = [volume.created for volume in observed.volumes if volume.created]
    since = min(created) if created else None
    gone = dict(observed.gone)
    gone = spending.added(gone, _image_days(observed, now, since=now.astimezone(UTC).date().replace(day=1)))
    if instance is None:
        return spending.spent(gone, launched=None, disk_since=since, rates=rates, now=now)
    days, running = spending.added(gone, dict(instance.spent)), instance.state.bills
    if ended := uncounted_end(observed, now=now):
        days = spending.added(days, spending.session_days(instance.launched, ended.at, rates.hour))
    launched = instance.launched if running else None
    return spending.spent(days, launched=launched, disk_since=since, rates=rates, now=now)


def uncounted_end(observed: Observed, *, now: datetime) -> SessionEnd | None:
    """The end of the last session if the tags do not include its cost yet; None otherwise."""
    instance = observed.instance
    if instance is None or instance.state.bills or instance.spent_until == instance.launched:
        return None
    deadline = deadline_of(observed, instance)
    return session_end(
        instance.launched, transition=instance.transition, deadline=deadline, left=None, now=now
    )


def guess_of(observed: Observed, rates: Rates, *, now: datetime) -> Guess | None:
    """The session with an unknown end, which counts until the latest possible moment; None without one."""
    instance, ended = observed.instance, uncounted_end(observed, now=now)
    if instance and ended and ended.guessed:
        return Guess(launched=instance.launched, until=ended.at, usd_hour=rates.hour)
    return instance.guess if instance else None


def guessed_usd(guess: Guess | None, *, now: datetime) -> Decimal:
    """The most US dollars that the guess adds to this month."""
    month = now.astimezone(UTC).date().replace(day=1)
    days = spending.session_days(guess.launched, guess.until, guess.usd_hour) if guess else {}
    return sum((usd for day, usd in days.items() if day >= month), Decimal(0))


@dataclass(frozen=True, kw_only=True)
class Days:
    """US dollars per UTC day. running: instance and address; gone: all of removed instances and images."""

    running: dict[date, Decimal]
    disk: dict[date, Decimal]
    images: dict[date, Decimal]
    gone: dict[date, Decimal]

    @property
    def all(self) -> dict[date, Decimal]:
        return spending.added(self.running, self.disk, self.images, self.gone)


def days(observed: Observed, rates: Rates, *, now: datetime) -> Days:
    """Until now, from as early as AWS's tags and this laptop's records go."""
    instance = observed.instance
    created = [volume.created for volume in observed.volumes if volume.created]
    known = dict(instance.spent) if instance else {}
    if instance and instance.state.bills:
        known = spending.added(known, spending.session_days(instance.launched, now, rates.hour))
    elif instance and (ended := uncounted_end(observed, now=now)):  # the next `up` records it
        session = spending.session_days(instance.launched, ended.at, rates.hour)
        known = spending.added(known, session)
    kept = [snapshot.created for snapshot in observed.snapshots]
    begin = min([*known, *(at.astimezone(UTC).date() for at in (*created, *kept))], default=now.date())
    disk = spending.disk_days(rates, min(created), now, since=begin) if created else {}
    images = _image_days(observed, now, since=begin)
    return Days(running=known, disk=disk, images=images, gone=dict(observed.gone))


def _image_days(observed: Observed, now: datetime, *, since: date) -> dict[date, Decimal]:
    return spending.added(*(snapshot_days(snapshot, now, since=since) for snapshot in observed.snapshots))


def snapshot_days(snapshot: Snapshot, now: datetime, *, since: date = date.min) -> dict[date, Decimal]:
    """A snapshot bills like a disk, for as long as it exists."""
    rates = Rates(hour=Decimal(0), disk_month=snapshot.usd_month)
    return spending.disk_days(rates, snapshot.created, now, since=since)


def budget_end(config: Config, observed: Observed, rates: Rates | None, *, now: datetime) -> datetime | None:
    """When the box exhausts `limits.budget` if it keeps running; None without a budget.

    Raises InputError if the budget is spent, or cannot be enforced because the price is unknown.
    """
    budget = config.limits.budget
    if budget is None:
        return None
    if rates is None:
        raise InputError(
            "the budget cannot be enforced: the price of this instance type is unknown",
            where="limits.budget",
            remedy="Choose another type in instance_types, or remove limits.budget.",
        )
    month = spent(observed, rates, now=now).month
    stopped = replace(rates, disk_month=rates.disk_month + observed.usd_month_images)
    end = spending.budget_end(budget, month, stopped, now)
    if end < now + _LEAST_RUN:
        guess = guess_of(observed, rates, now=now)
        guessed = guessed_usd(guess, now=now)
        if guess and spending.budget_end(budget, month - guessed, stopped, now) >= now + _LEAST_RUN:
            raise InputError(
                f"this month's budget may be spent: {format_money(month)} of {format_money(budget)}, of "
                f"which up to {format_money(guessed)} is a guess, because EC2 does not say when "
                f"the session of {guess.launched.astimezone():%a %b %d %H:%M} ended",
                where="limits.budget",
                remedy="Raise limits.budget for one `gpu-box up`: it reads the stop time from the box and "
                "corrects the sum; then set it back.",
            )
        raise InputError(
            f"this month's budget is spent: {format_money(month)} of {format_money(budget)} so far, "
            f"and the disk costs {format_money(rates.disk_month)} a month",
            where="limits.budget",
            remedy="Raise limits.budget, or wait for the next month.",
        )
    return end


def run_end(
    config: Config, instance: Instance | None, rates: Rates | None, *, now: datetime
) -> datetime | None:
    """When a run that began with the box's start has cost `run_usd`, disk included; None without that limit.

    Raises InputError if the price is unknown, or if the amount does not pay for a useful run.
    """
    usd = config.run_usd
    if usd is None:
        return None
    if rates is None:
        raise InputError(
            "the amount cannot be held: the price of this instance type is unknown",
            where="--at-most",
            remedy="Choose another type in instance_types, or give --for instead.",
        )
    hour = rates.hour + rates.disk(timedelta(hours=1))
    span = min(timedelta(hours=float(usd / hour)), _LONGEST_RUN) if hour else _LONGEST_RUN
    if instance and instance.state.bills:
        return instance.launched + max(span, _LEAST_RUN)
    if span < _LEAST_RUN:
        least = hour * Decimal(int(_LEAST_RUN.total_seconds())) / 3600
        raise InputError(
            f"{format_money(usd)} pays for {format_duration(span)} at {format_money(hour)} an hour: "
            "nothing was started",
            where="--at-most",
            remedy=f"Give more than {format_money(least)}, which pays for {format_duration(_LEAST_RUN)}.",
        )
    return now + span


def earliest_end(
    config: Config, observed: Observed, rates: Rates | None, *, now: datetime
) -> datetime | None:
    """The earlier of `budget_end` and `run_end`."""
    ends = budget_end(config, observed, rates, now=now), run_end(config, observed.instance, rates, now=now)
    return min(filter(None, ends), default=None)


def budget_marks(
    config: Config, observed: Observed, rates: Rates | None, *, now: datetime
) -> tuple[tuple[int, datetime], ...]:
    """Per cent of `limits.budget`, and when a box that keeps running reaches it; future marks only."""
    budget = config.limits.budget
    if budget is None or rates is None:
        return ()
    month = spent(observed, rates, now=now).month
    marks = ((percent, spending.reached(budget * percent / 100, month, rates, now)) for percent in MARKS)
    return tuple((percent, at) for percent, at in marks if at is not None)


def budget_warning(month: Decimal, budget: Decimal | None, *, guessed: Decimal = _NO_USD) -> str | None:
    """A line for the highest mark reached, from 50 % on; None below that.

    guessed: US dollars of `month` that may not have been spent (`guessed_usd`).
    """
    passed = [percent for percent in MARKS if budget and month * 100 >= budget * percent]
    if budget is None or not passed:
        return None
    share = f"{format_money(month)} of {format_money(budget)} ({month / budget:.0%})"
    if guessed:
        share += f", up to {format_money(guessed)} of it a guess that `gpu-box up` corrects"
    if passed[-1] == MARKS[-1]:
        return f"this month's budget is spent, {share}: raise limits.budget, or wait for the next month"
    return f"over {passed[-1]} % of this month's budget is spent: {share}"


def deadline_of(observed: Observed, instance: Instance) -> datetime | None:
    armed = observed.deadline
    return armed.at if armed and armed.instance_id == instance.id else None
