"""What stops the box and what holds that off: why, keep, extend. None of them starts a box."""

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
from gpu_box.files import write_whole
from gpu_box.machine import setup, watcher
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import Instance, InstanceState, Observed, Stopped
from gpu_box.model.progress import Reporter
from gpu_box.model.watch import Change, WatchState
from gpu_box.plan import budget, deadline, limits
from gpu_box.plan.steps import NoteExtend


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why the box is stopped, or why it is not."""

    state: str  # EC2's word, or "none"
    stopped: Stopped | None  # the present stop; of a box that runs, the last one
    watch: WatchState | None  # of a box that runs
    changes: tuple[Change, ...]  # its verdicts of late, oldest first


@dataclass(frozen=True, kw_only=True)
class Kept:
    until: datetime | None  # None: no longer kept
    usd_at_most: Decimal | None  # what it may cost until then; None: no price is known
    deadline: datetime | None  # stops it whatever is kept


@dataclass(frozen=True, kw_only=True)
class Extended:
    before: datetime | None
    deadline: datetime
    usd_more: Decimal | None  # what the added time may cost
    in_aws: bool  # False: AWS's side may not be armed, and only the box's own watcher was told


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
    """span: from now; None: no longer."""
    config = cloud.config
    observed = find.observe_box(cloud)
    converge.require_own(cloud, observed)
    instance = _running(config, observed)
    report.start("keep", "telling the box's watcher")
    with connect(find.host_of(config, observed)) as connection:
        watcher.keep(connection, span)
    report.done("keep", "the box's watcher knows")
    price = read_price_of(cloud, instance)
    usd = price.hour * _hours(span) if span and price.hour is not None else None
    return Kept(
        until=datetime.now(UTC) + span if span else None,
        usd_at_most=usd,
        deadline=budget.deadline_of(observed, instance),
    )


def extend(cloud: Cloud, span: timedelta, report: Reporter) -> Extended:
    """The hard deadline later by `span`, in AWS and on the box. Raises InputError past the budget's end."""
    observed = find.observe_box(cloud)
    instance, now = _running(cloud.config, observed), datetime.now(UTC)
    config = limits.kept(cloud.config, instance)[0]
    price = read_price_of(cloud, instance)
    rates = spent.rates_of(price)
    armed = budget.deadline_of(observed, instance)
    base, at = extension(cloud, observed, span, now=now)
    before = base if armed else None
    end = budget.budget_end(config, observed, rates, now=now)
    if end and at > end:
        raise InputError(
            f"the budget ends at {end.astimezone():%a %b %d %H:%M}, before {at.astimezone():%a %b %d %H:%M}",
            where="limits.budget",
            remedy="Raise limits.budget in config.yaml, or extend by less."
            if cloud.config.limits.budget == config.limits.budget
            else "Extend by less; the running box has its own budget, which `gpu-box up` asks to loosen.",
        )
    observed = postpone(cloud, base, at, report)
    report.start("watcher", "telling the box's watcher")
    with connect(find.host_of(config, observed)) as connection:
        marks = budget.budget_marks(config, observed, rates, now=now)
        watcher.set_deadline(connection, at, marks)
    report.done("watcher", "the box's watcher knows")
    note_postponed(cloud, observed, report)
    more = at - max(before, now) if before else span
    return Extended(
        before=before,
        deadline=at,
        usd_more=price.hour * _hours(more) if price.hour is not None else None,
        in_aws=budget.deadline_of(observed, instance) == at,
    )


def extension(
    cloud: Cloud, observed: Observed, span: timedelta, *, now: datetime
) -> tuple[datetime, datetime]:
    """As `deadline.extension`. Also kept locally, because AWS no longer shows a finished change."""
    assert observed.instance is not None
    path = find.memory("extending", cloud)
    asked: tuple[datetime, datetime] | None = None
    with suppress(OSError, ValueError):
        before, after = map(datetime.fromisoformat, path.read_text(encoding="utf-8").split())
        asked = before.astimezone(UTC), after.astimezone(UTC)
    base, at = deadline.extension(observed, observed.instance, span, now=now, asked=asked)
    with suppress(OSError):
        write_whole(path, f"{base.isoformat()} {at.isoformat()}")
    return base, at


def postpone(cloud: Cloud, base: datetime, at: datetime, report: Reporter) -> Observed:
    """AWS's part of it: noted, and moved. Cut anywhere, `extension` tells the same times again."""
    return converge.converge(cloud, report, lambda seen: deadline.extend(seen, base=base, at=at))[0]


def note_postponed(cloud: Cloud, observed: Observed, report: Reporter) -> None:
    """The next `extend` is another one."""
    if observed.instance and not observed.deadline_unavailable:
        act(cloud, [NoteExtend(instance_id=observed.instance.id, moving=None)], report, observed)
    with suppress(OSError):
        find.memory("extending", cloud).unlink(missing_ok=True)


def _running(config: Config, observed: Observed) -> Instance:
    find.host_of(config, observed)  # refuses a box that does not run
    assert observed.instance is not None
    return observed.instance


def _hours(span: timedelta) -> Decimal:
    return Decimal(int(span.total_seconds())) / 3600
