"""A box's price, and its cost so far."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price, read_price_of
from gpu_box.config.model import Config
from gpu_box.model.observed import Instance, Observed
from gpu_box.model.price import Price
from gpu_box.model.spending import Rates
from gpu_box.plan import budget
from gpu_box.store import ledger


def first_price(cloud: Cloud) -> Price:
    """The price of the type that `up` tries first."""
    config = cloud.config
    return read_price(cloud, config.instance_types[0], market=config.first_market, zones=config.zones)


def hourly(cloud: Cloud, instance: Instance) -> Decimal | None:
    """US dollars an hour of a running instance with its address; None if unknown."""
    rates = rates_of(read_price_of(cloud, instance))
    return rates.hour if rates else None


def rates_of(price: Price) -> Rates | None:
    """None if the type's price is unknown."""
    if price.instance_hour is None:
        return None
    return Rates(hour=price.instance_hour + price.address_hour, disk_month=price.disk_month)


def budget_warning(config: Config, observed: Observed, rates: Rates | None) -> str | None:
    limit = config.limits.budget
    if limit is None or rates is None:
        return None
    now = datetime.now(UTC)
    guessed = budget.guessed_usd(budget.guess_of(observed, rates, now=now), now=now)
    return budget.budget_warning(budget.spent(observed, rates, now=now).month, limit, guessed=guessed)


def remember(cloud: Cloud, observed: Observed) -> None:
    """Record the box's cost before its tags are deleted; nothing if the price is unknown."""
    rates = rates_of(read_price_of(cloud, observed.instance)) if observed.instance else None
    note(cloud, observed, rates)


def note(cloud: Cloud, observed: Observed, rates: Rates | None) -> None:
    instance, now, known = observed.instance, datetime.now(UTC), cloud.memory("ledger")
    if instance and rates:
        alone = replace(observed, gone=(), snapshots=())  # snapshots may outlive it
        ledger.note(known, instance.id, budget.days(alone, rates, now=now).all, today=now.date())
    for snapshot in observed.snapshots:
        ledger.note(known, snapshot.id, budget.snapshot_days(snapshot, now), today=now.date())
