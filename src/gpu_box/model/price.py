"""Prices and GPU types."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

# An average month, as AWS's own calculator takes it: 730 hours.
HOURS_PER_MONTH = 730


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars."""

    instance_hour: Decimal | None  # None: the type's price is not known
    address_hour: Decimal  # the public IPv4 address, while the instance runs
    disk_month: Decimal  # billed running or stopped
    source: str  # and of when: "live, today", "us-east-1 table of 2026-08"
    gpu: GpuType | None
    on_demand_hour: Decimal | None = None  # of a spot instance: what it would cost on demand

    @property
    def hour(self) -> Decimal | None:
        """An hour running: instance, address and disk."""
        if self.instance_hour is None:
            return None
        return self.instance_hour + self.address_hour + self.disk_month / HOURS_PER_MONTH

    @property
    def hour_on_demand(self) -> Decimal | None:
        """An hour running, were it not spot; None where it is not, or where that is not known."""
        if self.hour is None or self.instance_hour is None or self.on_demand_hour is None:
            return None
        return self.hour - self.instance_hour + self.on_demand_hour


@dataclass(frozen=True, kw_only=True)
class GpuType:
    name: str
    gpu: str
    count: int
    gpu_gib: int  # of all its GPUs
    vcpus: int
    gib: int
    usd_hour: Decimal

    def __str__(self) -> str:
        many = f"{self.count} x " if self.count > 1 else ""
        return f"{many}{self.gpu} ({self.gpu_gib} GiB), {self.vcpus} vCPUs, {self.gib} GiB"
