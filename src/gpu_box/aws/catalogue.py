"""The catalogue of GPU types and their dated prices: infra/gpus.yaml, read once."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from gpu_box.resources import infra

# An average month, as AWS's own calculator takes it: 730 hours.
HOURS_PER_MONTH = 730


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


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    prices_of: str  # year and month of the prices
    prices_region: str
    types: dict[str, GpuType]
    disk_gib_month: dict[str, Decimal]
    public_ipv4_hour: Decimal


@cache
def catalogue() -> Catalogue:
    import yaml

    raw = yaml.safe_load(infra("gpus.yaml").read_text(encoding="utf-8"))
    return Catalogue(
        prices_of=str(raw["prices_of"]),
        prices_region=raw["prices_region"],
        types={
            name: GpuType(name=name, **{**facts, "usd_hour": Decimal(str(facts["usd_hour"]))})
            for name, facts in raw["types"].items()
        },
        disk_gib_month={kind: Decimal(str(price)) for kind, price in raw["disk_gib_month"].items()},
        public_ipv4_hour=Decimal(str(raw["public_ipv4_hour"])),
    )


def gpu_types() -> list[str]:
    return list(catalogue().types)
