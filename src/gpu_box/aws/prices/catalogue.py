"""The catalogue of GPU types with dated prices, from infra/gpus.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from gpu_box.model.price import GpuType
from gpu_box.resources import gpu_table


@dataclass(frozen=True)
class Tiers:
    """A price by amount: US dollars per unit above each threshold."""

    steps: tuple[tuple[int, Decimal], ...] = ()  # (above, price), rising

    def cost(self, amount: int) -> Decimal:
        cost = Decimal(0)
        for above, price in reversed(self.steps):
            part = max(0, amount - above)
            cost += part * price
            amount -= part
        return cost


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A pair of vCPU quotas by code, and the families that they count."""

    families: tuple[str, ...]  # prefixes of instance types: "g", "p5"
    on_demand: str
    spot: str | None  # None: unknown


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    prices_of: str  # year and month of the prices
    prices_region: str
    types: dict[str, GpuType]
    quotas: tuple[Quota, ...]
    disk_gib_month: dict[str, Decimal]
    disk_iops_month: dict[str, Tiers]
    disk_mib_month: dict[str, Tiers]
    public_ipv4_hour: Decimal
    snapshot_gib_month: Decimal


@cache
def catalogue() -> Catalogue:
    raw = gpu_table()
    return Catalogue(
        prices_of=str(raw["prices_of"]),
        prices_region=raw["prices_region"],
        types={
            name: GpuType(name=name, **{**facts, "usd_hour": _usd(facts["usd_hour"])})
            for name, facts in raw["types"].items()
        },
        quotas=tuple(
            Quota(families=tuple(q["families"]), on_demand=q["on-demand"], spot=q["spot"])
            for q in raw["quotas"].values()
        ),
        disk_gib_month={kind: Decimal(str(price)) for kind, price in raw["disk_gib_month"].items()},
        disk_iops_month=_tiers(raw["disk_iops_month"]),
        disk_mib_month=_tiers(raw["disk_mib_month"]),
        public_ipv4_hour=Decimal(str(raw["public_ipv4_hour"])),
        snapshot_gib_month=Decimal(str(raw["snapshot_gib_month"])),
    )


def gpu_types() -> list[str]:
    return list(catalogue().types)


def _usd(raw: float | None) -> Decimal | None:
    return None if raw is None else Decimal(str(raw))


def _tiers(raw: dict[str, list[tuple[int, float]]]) -> dict[str, Tiers]:
    return {
        kind: Tiers(tuple((above, Decimal(str(price))) for above, price in steps))
        for kind, steps in raw.items()
    }
