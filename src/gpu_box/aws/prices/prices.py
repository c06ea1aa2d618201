"""What it costs: AWS's price list of today where it may be asked, the dated table of the catalogue where not.

`read_price` is what every command asks, so all of them say the same to the cent; and whoever shows a price
shows its source and date.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial

from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.prices.catalogue import Tiers, catalogue
from gpu_box.aws.prices.price_list import UsagePrices, disk_rates, instance_rates, snapshot_rates, spot_rates
from gpu_box.config.model import Disk
from gpu_box.errors import CloudError
from gpu_box.model.observed import Instance
from gpu_box.model.price import Price
from gpu_box.store.prices import PriceCache

# AWS changes on-demand prices a few times a year, spot prices a few times a day. Where it did not answer, it
# is not asked again for a while: nothing may wait for a price twice.
_KEPT, _SPOT_KEPT, _SILENT = timedelta(days=1), timedelta(hours=1), timedelta(minutes=10)
# The usage types of each tier of a disk's operations a second.
_IOPS_USAGE = {
    "gp3": ["EBS:VolumeP-IOPS.gp3"],
    "io1": ["EBS:VolumeP-IOPS.piops"],
    "io2": ["EBS:VolumeP-IOPS.io2", "EBS:VolumeP-IOPS.io2.tier2", "EBS:VolumeP-IOPS.io2.tier3"],
}
_SIZE_USAGE = {"io1": "EBS:VolumeUsage.piops", "standard": "EBS:VolumeUsage"}


@dataclass(frozen=True)
class Live:
    """What AWS told: rates by usage type, and since when they are known. Empty where it told nothing."""

    rates: Mapping[str, str] = field(default_factory=dict)
    asked: datetime | None = None

    def usd(self, usage: str) -> Decimal | None:
        return Decimal(self.rates[usage]) if usage in self.rates else None


def read_price(
    cloud: Cloud,
    instance_type: str,
    *,
    disk: Disk | None = None,
    market: str = "on-demand",
    zones: Collection[str] = (),
) -> Price:
    """Never fails, and waits for a few seconds at most. disk: another than the config's.

    market: "spot" too, then for the cheapest of `zones` (none given: of all).
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
    """Of an instance as it is: its type, its market, its zone."""
    return read_price(cloud, instance.type, market=instance.market, zones=[instance.zone])


def price_reader(cloud: Cloud) -> Callable[[Instance], Price]:
    """`read_price_of` for instances of many boxes, each with its own disk size; asks once for equal ones."""
    own = cloud.config.disk

    @cache
    def read(instance_type: str, market: str, zone: str, size_gib: int) -> Price:
        disk = replace(own, size_gib=size_gib)
        return read_price(cloud, instance_type, disk=disk, market=market, zones=[zone])

    return lambda one: read(one.type, one.market, one.zone, one.disk_gib or own.size_gib)


def price_of(instance_type: str, region: str, disk: Disk, live: Live | None = None) -> Price:
    """Of what AWS told, where that is whole; else of the table, wholly."""
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
    assert month is not None, "the table has every type of disk that a config may name"
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
    """US dollars a month. live: of what AWS told alone, None where it did not tell all of it."""
    table, none = catalogue(), Tiers()
    gib = table.disk_gib_month.get(disk.type)
    iops = table.disk_iops_month.get(disk.type, none)
    mib = table.disk_mib_month.get(disk.type, none)
    if live:
        gib = live.usd(_SIZE_USAGE.get(disk.type, f"EBS:VolumeUsage.{disk.type}"))
        told_iops = _retold(iops, [live.usd(usage) for usage in _IOPS_USAGE.get(disk.type, [])])
        told_mib = _retold(mib, [live.usd(f"EBS:VolumeP-Throughput.{disk.type}")])
        if (disk.iops and told_iops is None) or (disk.throughput_mib and told_mib is None):
            return None
        iops, mib = told_iops or none, told_mib or none
    if gib is None:
        return None
    return gib * disk.size_gib + iops.cost(disk.iops or 0) + mib.cost(disk.throughput_mib or 0)


def read_disk_month(cloud: Cloud, disk: Disk) -> Decimal | None:
    """US dollars a month of a disk of any type; None where neither AWS nor the table tells."""
    live = _live(cloud, f"disk-{disk.type}", partial(disk_rates, cloud, disk.type))
    told = disk_month(disk, live) if live.asked else None
    return told if told is not None else disk_month(disk)


def snapshot_gib_month(cloud: Cloud) -> Decimal:
    live = _live(cloud, "snapshot", partial(snapshot_rates, cloud))
    return live.usd("EBS:SnapshotUsage") or catalogue().snapshot_gib_month


def _live(cloud: Cloud, key: str, ask: Callable[[], UsagePrices], *, kept: timedelta = _KEPT) -> Live:
    """From the cache, or else from AWS; empty where it does not answer or may not be asked."""
    now = datetime.now(UTC)
    kept_prices = PriceCache(cloud.host, cloud.region)
    if known := kept_prices.read(key, now=now, longest=kept):
        return Live(*known)
    silent = f"silent-{key.partition('-')[0]}"
    if kept_prices.read(silent, now=now, longest=_SILENT):
        return Live()
    try:
        rates = ask()
    except CloudError as error:
        kept_prices.write(silent, str(error), now=now)
        return Live()
    kept_prices.write(key, rates, now=now)
    return Live(rates, now)


def _spot(cloud: Cloud, instance_type: str) -> Live:
    return _live(cloud, f"spot-{instance_type}", partial(spot_rates, cloud, instance_type), kept=_SPOT_KEPT)


def _together(one: Live, other: Live) -> Live:
    """As old as the older of them; nothing where either is missing."""
    if one.asked is None or other.asked is None:
        return Live()
    return Live({**one.rates, **other.rates}, min(one.asked, other.asked))


def _at_spot(price: Price, spot: Live, zones: Collection[str]) -> Price:
    there = {zone: Decimal(usd) for zone, usd in spot.rates.items() if not zones or zone in zones}
    if not there or spot.asked is None:
        return replace(price, source=f"{price.source}; of spot at most this, its own is not known")
    zone = min(there, key=lambda name: (there[name], name))
    return replace(
        price,
        instance_hour=there[zone],
        on_demand_hour=price.instance_hour,
        source=f"spot in {zone}: live, {_day(spot.asked)}; the rest: {price.source}",
    )


def _retold(tiers: Tiers, told: list[Decimal | None]) -> Tiers | None:
    """The same steps at the prices told; None where one is not told."""
    if len(told) != len(tiers.steps) or None in told:
        return None
    return Tiers(tuple((above, usd) for (above, _), usd in zip(tiers.steps, told, strict=True) if usd))


def _day(asked: datetime) -> str:
    """As the one who reads it counts days."""
    return "today" if asked.astimezone().date() == datetime.now().astimezone().date() else "yesterday"
