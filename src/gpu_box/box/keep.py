"""Why the box stops or runs, and how to delay a stop: why, keep, extend. None of them starts a box."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import converge, find, spent
from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.files import read_own, write_whole
from gpu_box.machine import setup, watcher
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import Instance, InstanceState, Observed, Stopped
from gpu_box.model.price import Price
from gpu_box.model.progress import Reporter
from gpu_box.model.watch import Change, WatchState
from gpu_box.plan import budget, deadline, limits
from gpu_box.plan.notes import NoteExtend, NoteLimits


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why the box stopped, or what keeps it running."""

    state: str  # EC2's state, or "none"
    stopped: Stopped | None  # the current stop, or a running box's last one
    watch: WatchState | None  # of a running box
    changes: tuple[Change, ...]  # recent verdicts, oldest first


@dataclass(frozen=True, kw_only=True)
class Kept:
    until: datetime | None  # None: idle stop is on again
    usd_at_most: Decimal | None  # the highest cost until then; None: price unknown
    deadline: datetime | None  # stops it even while kept


@dataclass(frozen=True, kw_only=True)
class Extended:
    before: datetime | None
    deadline: datetime
    usd_more: Decimal | None  # the highest cost of the added time
    in_aws: bool  # False: AWS's deadline cannot be armed; only the box's watcher was changed


def why(cloud: Cloud) -> Why:
    config = cloud.config
    observed = find.observe_box(cloud)
    instance = observed.instance
    if instance is None:
        return Why(state="none", stopped=None, watch=None, changes=())
    if instance.state is InstanceState.RUNNING and instance.address:
        with connect(find.host_of(config, observed)) as connection:
            machine = setup.check(connection, setup.desired(config, market=instance.market))
            changes, last = watcher.history(connection)
        return Why(state=str(instance.state), stopped=last, watch=machine.watch, changes=changes)
    return Why(
        state=str(instance.state), stopped=find.stopped_because(cloud, observed), watch=None, changes=()
    )


def keep(cloud: Cloud, span: timedelta | None, report: Reporter) -> Kept:
    """span: from now; None turns idle stop on again."""
    config = cloud.config
    observed = find.observe_box(cloud)
    converge.require_own(cloud, observed)
    instance = _running(config, observed)
    report.start("keep", "updating the box's watcher")
    with connect(find.host_of(config, observed)) as connection:
        watcher.keep(connection, span)
    report.done("keep", "the box's watcher is updated")
    price = read_price_of(cloud, instance)
    usd = price.hour * _hours(span) if span and price.hour is not None else None
    return Kept(
        until=datetime.now(UTC) + span if span else None,
        usd_at_most=usd,
        deadline=budget.deadline_of(observed, instance),
    )


def limited_run(cloud: Cloud, span: timedelta) -> str:
    """The limits of the box's run (`up --for 3h --at-most 5`), in words; "" without any.

    Raises GpuBoxError as `extend` does if such a run cannot be extended by `span`.
    """
    observed = find.locate(cloud, entering=False)
    if not (run := limits.run_shown(observed.instance)):
        return ""
    observed = find.observe_box(cloud)
    converge.require_own(cloud, observed)
    instance, now = _running(cloud.config, observed), datetime.now(UTC)
    at = deadline.extension(observed, instance, span, now=now)[1]
    _refuse_past_budget(cloud, observed, instance, at, now=now)
    return run


def extend(cloud: Cloud, span: timedelta, report: Reporter, *, agreed: str = "") -> Extended:
    """Move the deadline later by `span`, in AWS and on the box. Raises InputError past the budget's end.

    agreed: the `limited_run` that a person agreed to extend. Raises InputError if the box's is another.
    """
    observed = find.observe_box(cloud)
    instance, now = _running(cloud.config, observed), datetime.now(UTC)
    if (run := limits.run_shown(instance)) != agreed and run:
        raise refuse_to_extend(cloud.config, run)
    armed = budget.deadline_of(observed, instance)
    base, at = extension(cloud, observed, span, now=now)
    before = base if armed else None
    config, price = _refuse_past_budget(cloud, observed, instance, at, now=now)
    rates = spent.rates_of(price)
    if (run_until := limits.run_until(config, instance, at, rates)) != instance.limits:
        act(cloud, [NoteLimits(instance_id=instance.id, value=run_until)], report, observed)
    observed = postpone(cloud, base, at, report)
    report.start("watcher", "updating the box's watcher")
    with connect(find.host_of(config, observed)) as connection:
        marks = budget.budget_marks(config, observed, rates, now=now)
        watcher.set_deadline(connection, at, marks)
    report.done("watcher", "the box's watcher is updated")
    note_postponed(cloud, observed, report)
    more = at - max(before, now) if before else span
    return Extended(
        before=before,
        deadline=at,
        usd_more=price.hour * _hours(more) if price.hour is not None else None,
        in_aws=budget.deadline_of(observed, instance) == at,
    )


def _refuse_past_budget(
    cloud: Cloud, observed: Observed, instance: Instance, at: datetime, *, now: datetime
) -> tuple[Config, Price]:
    """The config with the limits that the running box keeps, and its price. Raises InputError."""
    config = limits.kept(cloud.config, instance)[0]
    price = read_price_of(cloud, instance)
    end = budget.budget_end(config, observed, spent.rates_of(price), now=now)
    if end and at > end:
        raise InputError(
            f"the budget ends at {end.astimezone():%a %b %d %H:%M}, before {at.astimezone():%a %b %d %H:%M}",
            where="limits.budget",
            remedy="Raise limits.budget in config.yaml, or extend by less."
            if cloud.config.limits.budget == config.limits.budget
            else "Extend by less; the running box has its own budget, which `gpu-box up` can loosen.",
        )
    return config, price


def refuse_to_extend(config: Config, run: str) -> InputError:
    return InputError(
        f"this run of {config.name} is limited to {run}, and only a person may extend it",
        where="extend",
        remedy="Run it in a terminal; or `gpu-box stop` ends the run.",
    )


def extension(
    cloud: Cloud, observed: Observed, span: timedelta, *, now: datetime
) -> tuple[datetime, datetime]:
    """`deadline.extension`. Also kept locally, because AWS no longer shows a finished change."""
    assert observed.instance is not None
    path = cloud.memory("extending")
    asked: tuple[datetime, datetime] | None = None
    with suppress(OSError, ValueError, OverflowError):
        before, after = map(datetime.fromisoformat, read_own(path).split())
        asked = before.astimezone(UTC), after.astimezone(UTC)
    base, at = deadline.extension(observed, observed.instance, span, now=now, asked=asked)
    with suppress(OSError):
        write_whole(path, f"{base.isoformat()} {at.isoformat()}")
    return base, at


def postpone(cloud: Cloud, base: datetime, at: datetime, report: Reporter) -> Observed:
    """The AWS part: note the change, then make it. If interrupted, `extension` returns the same times."""
    return converge.converge(cloud, report, lambda seen: deadline.extend(seen, base=base, at=at))[0]


def note_postponed(cloud: Cloud, observed: Observed, report: Reporter) -> None:
    """Clear the note, so that the next `extend` counts as a new one."""
    if observed.instance and not observed.deadline_unavailable:
        act(cloud, [NoteExtend(instance_id=observed.instance.id, moving=None)], report, observed)
    with suppress(OSError):
        cloud.memory("extending").unlink(missing_ok=True)


def _running(config: Config, observed: Observed) -> Instance:
    find.host_of(config, observed)  # raises if it is not running
    assert observed.instance is not None
    return observed.instance


def _hours(span: timedelta) -> Decimal:
    return Decimal(int(span.total_seconds())) / 3600
