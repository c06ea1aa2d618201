"""Images, instance types and prices of this cloud: data files beside this one, and moto's own type tables."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PublicImage:
    parameter: str  # public SSM parameter that holds its id
    name: str
    description: str
    owner_id: str
    architecture: str
    size_gib: int
    volume_type: str

    def id(self, region: str) -> str:
        """Differs by region, as AMI ids do, and is the same in every cloud."""
        return "ami-" + hashlib.sha256(f"{region}\0{self.name}".encode()).hexdigest()[:17]


@cache
def public_images() -> tuple[PublicImage, ...]:
    return tuple(PublicImage(**entry) for entry in _data("images.json"))


@cache
def hourly_price(instance_type: str) -> float | None:
    """US dollars an hour on demand in us-east-1; None for a type that the table does not have."""
    price: float | None = _data("prices.json")["instances"].get(instance_type)
    return price


@cache
def priced_types() -> tuple[str, ...]:
    return tuple(_data("prices.json")["instances"])


@cache
def volume_prices() -> dict[str, float]:
    """US dollars a GB-month, by volume type."""
    return dict(_data("prices.json")["volumes_gb_month"])


@cache
def speed_prices() -> dict[str, float]:
    """US dollars a month, by usage type: an operation a second; a GiB a second."""
    return dict(_data("prices.json")["speed_month"])


@cache
def snapshot_price() -> float:
    """US dollars a GB-month."""
    return float(_data("prices.json")["snapshot_gb_month"])


def exists(instance_type: str) -> bool:
    return instance_type in _types()


def vcpus(instance_type: str) -> int:
    return int(_types()[instance_type]["VCpuInfo"]["DefaultVCpus"])


def architectures(instance_type: str) -> list[str]:
    return list(_types()[instance_type]["ProcessorInfo"]["SupportedArchitectures"])


def memory_gib(instance_type: str) -> float:
    return int(_types()[instance_type]["MemoryInfo"]["SizeInMiB"]) / 1024


def is_nitro(instance_type: str) -> bool:
    """Bare metal is of the Nitro System, too, and has no hypervisor."""
    return bool(_types()[instance_type].get("Hypervisor") != "xen")


@cache
def zones_offering(region: str, instance_type: str) -> tuple[str, ...]:
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

    offered = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return tuple(sorted({o["Location"] for o in offered if o["InstanceType"] == instance_type}))


def _types() -> dict[str, Any]:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    types: dict[str, Any] = INSTANCE_TYPES
    return types


@cache
def _data(name: str) -> Any:
    return json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
