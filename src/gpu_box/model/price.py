"""Prices and GPU types."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

# An average month, as in the AWS Pricing Calculator.
HOURS_PER_MONTH = 730


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars."""

    instance_hour: Decimal | None  # None: the type's price is unknown
    address_hour: Decimal  # the public IPv4 address, while the instance runs
    disk_month: Decimal  # billed running or stopped
    source: str  # with its date: "live, today", "us-east-1 table of 2026-07"
    gpu: GpuType | None
    on_demand_hour: Decimal | None = None  # of a spot instance: what it would cost on demand

    @property
    def hour(self) -> Decimal | None:
        """One hour running: instance, address and disk."""
        if self.instance_hour is None:
            return None
        return self.instance_hour + self.address_hour + self.disk_month / HOURS_PER_MONTH

    @property
    def hour_on_demand(self) -> Decimal | None:
        """One hour running on demand; None if the instance is not spot or the price is unknown."""
        if self.hour is None or self.instance_hour is None or self.on_demand_hour is None:
            return None
        return self.hour - self.instance_hour + self.on_demand_hour


@dataclass(frozen=True, kw_only=True)
class GpuType:
    """An instance type with a GPU."""

    name: str
    gpu: str
    count: int
    gpu_gib: int  # of all its GPUs
    vcpus: int
    gib: int
    usd_hour: Decimal | None  # None: AWS's price list has none
    nvme_gb: int = 0  # local NVMe (EC2's instance store), all its devices together, in 10^9 bytes
    share: int = 1  # 8: an eighth of a card

    def __str__(self) -> str:
        many = f"{self.count} x " if self.count > 1 else ""
        part = f"1/{self.share} " if self.share > 1 else ""
        return f"{many}{part}{self.gpu} ({self.gpu_gib} GiB), {self.vcpus} vCPUs, {self.gib} GiB"
