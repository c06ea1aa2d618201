"""What it costs. From the dated table of the catalogue; whoever shows a price shows where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gpu_box.aws.catalogue import HOURS_PER_MONTH, GpuType, Tiers, catalogue
from gpu_box.config import Disk

# EC2 bills Linux by the second, one minute at least (EC2 pricing, "Per second billing").
_LEAST_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars."""

    instance_hour: Decimal | None  # None: the type is not in the table
    address_hour: Decimal  # the public IPv4 address, while the instance runs
    disk_month: Decimal  # billed running or stopped
    source: str
    gpu: GpuType | None

    @property
    def hour(self) -> Decimal | None:
        """An hour running: instance, address and disk."""
        if self.instance_hour is None:
            return None
        return self.instance_hour + self.address_hour + self.disk_month / HOURS_PER_MONTH

    def session(self, launched: datetime, now: datetime) -> Decimal | None:
        """Of this run until now: instance and address, by the second. launched, now: aware."""
        if self.instance_hour is None:
            return None
        seconds = max(_LEAST_SECONDS, int((now - launched).total_seconds()))
        return (self.instance_hour + self.address_hour) * seconds / 3600


def price_of(instance_type: str, region: str, disk: Disk) -> Price:
    table = catalogue()
    gpu = table.types.get(instance_type)
    elsewhere = "" if region == table.prices_region else f", which {region} may differ from"
    return Price(
        instance_hour=gpu.usd_hour if gpu else None,
        address_hour=table.public_ipv4_hour,
        disk_month=_disk_month(disk),
        source=f"{table.prices_region} table of {table.prices_of}{elsewhere}",
        gpu=gpu,
    )


def _disk_month(disk: Disk) -> Decimal:
    table, none = catalogue(), Tiers()
    return (
        table.disk_gib_month[disk.type] * disk.size_gib
        + table.disk_iops_month.get(disk.type, none).cost(disk.iops or 0)
        + table.disk_mib_month.get(disk.type, none).cost(disk.throughput_mib or 0)
    )
