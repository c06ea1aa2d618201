"""A box's cost by day and month, from AWS's times and this laptop's record of removed instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import find
from gpu_box.box.spent import first_price, rates_of
from gpu_box.model import spending
from gpu_box.model.price import Price
from gpu_box.plan import budget, limits

_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """US dollars of a day or a month. gone: the total of instances that no longer exist."""

    instance: Decimal = _ZERO
    address: Decimal = _ZERO
    disk: Decimal = _ZERO
    images: Decimal = _ZERO  # snapshots, at most
    gone: Decimal = _ZERO

    @property
    def total(self) -> Decimal:
        return self.instance + self.address + self.disk + self.images + self.gone

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            instance=self.instance + other.instance,
            address=self.address + other.address,
            disk=self.disk + other.disk,
            images=self.images + other.images,
            gone=self.gone + other.gone,
        )


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """Days and months are in UTC, as AWS bills."""

    box: str
    region: str
    state: str
    days: Mapping[date, Cost]
    months: Mapping[str, Cost]
    usd_session: Decimal
    usd_today: Decimal
    usd_month: Decimal
    usd_budget: Decimal | None
    warning: str | None
    usd_hour: Decimal | None  # while running
    usd_month_stopped: Decimal | None
    usd_month_images: Decimal  # the images' monthly cost, at most
    usd_month_if_stopped: Decimal  # this month's cost, if it stays stopped from now on
    budget_spent: datetime | None  # within this month, if it keeps running
    prices: str  # source and date


def total(cloud: Cloud, *, now: datetime | None = None) -> CostReport:
    """The cost report. Raises CloudError."""
    config = cloud.config
    observed, now = find.observe_box(cloud), now or datetime.now(UTC)
    instance = observed.instance
    price = read_price_of(cloud, instance) if instance else first_price(cloud)
    rates = rates_of(price) or spending.Rates(hour=_ZERO, disk_month=price.disk_month)
    found, spent = budget.days(observed, rates, now=now), budget.spent(observed, rates, now=now)
    guessed = budget.guessed_usd(budget.guess_of(observed, rates, now=now), now=now)
    days = _by_kind(found, price)
    disk = rates.disk_month if observed.volumes else _ZERO
    stopped = replace(rates, disk_month=disk + observed.usd_month_images)
    months: dict[str, Cost] = {}
    for day, cost in days.items():
        months[f"{day:%Y-%m}"] = months.get(f"{day:%Y-%m}", Cost()) + cost
    runs = instance is not None and instance.state.bills
    limit = limits.kept(config, instance)[0].limits.budget
    return CostReport(
        box=config.name,
        region=observed.region,
        state=str(instance.state) if instance else "none",
        days=dict(sorted(days.items())),
        months=dict(sorted(months.items())),
        usd_session=spent.session,
        usd_today=spent.today,
        usd_month=spent.month,
        usd_budget=limit,
        warning=budget.budget_warning(spent.month, limit, guessed=guessed),
        usd_hour=price.hour,
        usd_month_stopped=price.disk_month if observed.volumes else None,
        usd_month_images=observed.usd_month_images,
        usd_month_if_stopped=spent.month + stopped.disk(_month_end(now) - now),
        budget_spent=spending.reached(limit, spent.month, rates, now) if limit and runs else None,
        prices=price.source,
    )


def _by_kind(found: budget.Days, price: Price) -> dict[date, Cost]:
    """Split running costs by the address's share of an hour at today's price."""
    hour = (price.instance_hour or _ZERO) + price.address_hour
    share = price.address_hour / hour if hour else _ZERO
    days = {}
    for day in sorted({*found.running, *found.disk, *found.images, *found.gone}):
        running = found.running.get(day, _ZERO)
        days[day] = Cost(
            instance=running * (1 - share),
            address=running * share,
            disk=found.disk.get(day, _ZERO),
            images=found.images.get(day, _ZERO),
            gone=found.gone.get(day, _ZERO),
        )
    return days


def _month_end(now: datetime) -> datetime:
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
