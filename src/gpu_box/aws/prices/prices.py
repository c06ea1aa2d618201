"""Prices: today's from AWS's price list if available, otherwise from the dated table.

Every command uses `read_price`, so that all show the same price, with its source and date.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any

from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.prices.catalogue import Tiers, catalogue
from gpu_box.aws.prices.price_list import UsagePrices, disk_rates, instance_rates, snapshot_rates, spot_rates
from gpu_box.config.model import Disk
from gpu_box.errors import CloudError
from gpu_box.model.observed import Instance
from gpu_box.model.price import Price
from gpu_box.store.prices import PriceCache

_MOST_USD = 1_000_000
# On-demand prices change a few times a year, spot prices a few times a day. After a failure AWS is not asked
# again for a while, so that a command waits for a price at most once.
_KEPT, _SPOT_KEPT, _SILENT = timedelta(days=1), timedelta(hours=1), timedelta(minutes=10)
# The usage types of each tier of a disk's IOPS.
_IOPS_USAGE = {
    "gp3": ["EBS:VolumeP-IOPS.gp3"],
    "io1": ["EBS:VolumeP-IOPS.piops"],
    "io2": ["EBS:VolumeP-IOPS.io2", "EBS:VolumeP-IOPS.io2.tier2", "EBS:VolumeP-IOPS.io2.tier3"],
}
_SIZE_USAGE = {"io1": "EBS:VolumeUsage.piops", "standard": "EBS:VolumeUsage"}


@dataclass(frozen=True)
class Live:
    """AWS's rates by usage type, and when they were read. Empty if there was no answer."""

    rates: Mapping[str, str] = field(default_factory=dict)
    asked: datetime | None = None

    def usd(self, usage: str) -> Decimal | None:
        return Decimal(str(self.rates[usage])) if usage in self.rates else None


def read_price(
    cloud: Cloud,
    instance_type: str,
    *,
    disk: Disk | None = None,
    market: str = "on-demand",
    zones: Collection[str] = (),
) -> Price:
    """Never raises, and waits a few seconds at most. disk: instead of the config's.

    market: "spot" uses the cheapest of `zones` (all if empty).
    """
    wanted = disk or cloud.config.disk
    instance, volume, spot = side_by_side(
        partial(_live, cloud, f"instance-{instance_type}", partial(instance_rates, cloud, instance_type)),
        partial(_live, cloud, f"disk-{wanted.type}", partial(disk_rates, cloud, wanted.type)),
        partial(_spot, cloud, instance_type) if market == "spot" else lambda: None,
    )
    price = price_of(instance_type, cloud.region, wanted, _together(instance, volume))
    return _at_spot(price, spot, zones) if spot else price


def read_price_of(cloud: Cloud, instance: Instance) -> Price:
    """The price of an existing instance, by its type, market and zone."""
    return read_price(cloud, instance.type, market=instance.market, zones=[instance.zone])


def price_reader(cloud: Cloud) -> Callable[[Instance], Price]:
    """`read_price_of` for several boxes with their own disk sizes; equal ones are read once."""
    own = cloud.config.disk

    @cache
    def read(instance_type: str, market: str, zone: str, size_gib: int) -> Price:
        disk = replace(own, size_gib=size_gib)
        return read_price(cloud, instance_type, disk=disk, market=market, zones=[zone])

    return lambda one: read(one.type, one.market, one.zone, one.disk_gib or own.size_gib)


def price_of(instance_type: str, region: str, disk: Disk, live: Live | None = None) -> Price:
    """From AWS's answer if it is complete, otherwise entirely from the table."""
    table = catalogue()
    gpu = table.types.get(instance_type)
    if live and live.asked:
        hour = live.usd(f"BoxUsage:{instance_type}")
        month = disk_month(disk, live)
        if hour is not None and month is not None:
            return Price(
                instance_hour=hour,
                address_hour=table.public_ipv4_hour,
                disk_month=month,
                source=f"live, {_day(live.asked)}",
                gpu=gpu,
            )
    month = disk_month(disk)
    assert month is not None, "the table has every disk type of the config"
    return Price(
        instance_hour=gpu.usd_hour if gpu else None,
        address_hour=table.public_ipv4_hour,
        disk_month=month,
        source=table_source(region),
        gpu=gpu,
    )


def table_source(region: str) -> str:
    table = catalogue()
    elsewhere = "" if region == table.prices_region else f", which {region} may differ from"
    return f"{table.prices_region} table of {table.prices_of}{elsewhere}"


def disk_month(disk: Disk, live: Live | None = None) -> Decimal | None:
    """US dollars a month. live: use only AWS's answer, and return None if it is incomplete."""
    table, none = catalogue(), Tiers()
    gib = table.disk_gib_month.get(disk.type)
    iops = table.disk_iops_month.get(disk.type, none)
    mib = table.disk_mib_month.get(disk.type, none)
    if live:
        gib = live.usd(_SIZE_USAGE.get(disk.type, f"EBS:VolumeUsage.{disk.type}"))
        live_iops = _repriced(iops, [live.usd(usage) for usage in _IOPS_USAGE.get(disk.type, [])])
        live_mib = _repriced(mib, [live.usd(f"EBS:VolumeP-Throughput.{disk.type}")])
        if (disk.iops and live_iops is None) or (disk.throughput_mib and live_mib is None):
            return None
        iops, mib = live_iops or none, live_mib or none
    if gib is None:
        return None
    return gib * disk.size_gib + iops.cost(disk.iops or 0) + mib.cost(disk.throughput_mib or 0)


def read_disk_month(cloud: Cloud, disk: Disk) -> Decimal | None:
    """US dollars a month for a disk of any type; None if neither AWS nor the table has it."""
    live = _live(cloud, f"disk-{disk.type}", partial(disk_rates, cloud, disk.type))
    month = disk_month(disk, live) if live.asked else None
    return month if month is not None else disk_month(disk)


def snapshot_gib_month(cloud: Cloud) -> Decimal:
    live = _live(cloud, "snapshot", partial(snapshot_rates, cloud))
    return live.usd("EBS:SnapshotUsage") or catalogue().snapshot_gib_month


def _live(cloud: Cloud, key: str, ask: Callable[[], UsagePrices], *, kept: timedelta = _KEPT) -> Live:
    """From the cache or AWS; empty without an answer or a permission."""
    now = datetime.now(UTC)
    kept_prices = PriceCache(cloud.host, cloud.region)
    if (known := kept_prices.read(key, now=now, longest=kept)) and _are_rates(known[0]):
        return Live(*known)
    silent = f"silent-{key.partition('-')[0]}"
    if kept_prices.read(silent, now=now, longest=_SILENT):
        return Live()
    try:
        rates = ask()
    except CloudError as error:
        kept_prices.write(silent, str(error), now=now)
        return Live()
    if not _are_rates(rates):
        return Live()
    kept_prices.write(key, rates, now=now)
    return Live(rates, now)


def _are_rates(value: Any) -> bool:
    """Whether each is an amount of dollars: the cache is a file, and AWS's answer may be malformed."""
    try:
        return all(0 <= Decimal(str(usd)) < _MOST_USD for usd in value.values())
    except (AttributeError, ArithmeticError):
        return False


def _spot(cloud: Cloud, instance_type: str) -> Live:
    return _live(cloud, f"spot-{instance_type}", partial(spot_rates, cloud, instance_type), kept=_SPOT_KEPT)


def _together(one: Live, other: Live) -> Live:
    """Both, as old as the older one; empty if either is missing."""
    if one.asked is None or other.asked is None:
        return Live()
    return Live({**one.rates, **other.rates}, min(one.asked, other.asked))


def _at_spot(price: Price, spot: Live, zones: Collection[str]) -> Price:
    there = {zone: Decimal(str(usd)) for zone, usd in spot.rates.items() if not zones or zone in zones}
    if not there or spot.asked is None:
        return replace(price, source=f"{price.source}; spot price unknown, at most this")
    zone = min(there, key=lambda name: (there[name], name))
    return replace(
        price,
        instance_hour=there[zone],
        on_demand_hour=price.instance_hour,
        source=f"spot in {zone}: live, {_day(spot.asked)}; the rest: {price.source}",
    )


def _repriced(tiers: Tiers, prices: list[Decimal | None]) -> Tiers | None:
    """The same steps with these prices; None if a price is missing."""
    if len(prices) != len(tiers.steps) or None in prices:
        return None
    return Tiers(tuple((above, usd) for (above, _), usd in zip(tiers.steps, prices, strict=True) if usd))


def _day(asked: datetime) -> str:
    """In the reader's local time."""
    return "today" if asked.astimezone().date() == datetime.now().astimezone().date() else "yesterday"
