"""Images, instance types and prices of this cloud, from the data files beside it and moto's type tables."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PublicImage:
    parameter: str  # the public SSM parameter with its id
    name: str
    description: str
    owner_id: str
    architecture: str
    size_gib: int
    volume_type: str

    def id(self, region: str) -> str:
        """The AMI id: different in each region, the same in every cloud."""
        return "ami-" + hashlib.sha256(f"{region}\0{self.name}".encode()).hexdigest()[:17]


@cache
def public_images() -> tuple[PublicImage, ...]:
    return tuple(PublicImage(**entry) for entry in _data("images.json"))


@cache
def hourly_price(instance_type: str) -> float | None:
    """US dollars an hour on demand in us-east-1; None for a type without a price."""
    price: float | None = _data("prices.json")["instances"].get(instance_type)
    return price


@cache
def priced_types() -> tuple[str, ...]:
    return tuple(_data("prices.json")["instances"])


@cache
def volume_prices() -> dict[str, float]:
    """US dollars per GB-month, by volume type."""
    return dict(_data("prices.json")["volumes_gb_month"])


@cache
def speed_prices() -> dict[str, float]:
    """US dollars a month by usage type: per operation a second, and per GiB a second."""
    return dict(_data("prices.json")["speed_month"])


@cache
def snapshot_price() -> float:
    """US dollars per GB-month."""
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
    """Whether the type is of the Nitro System. Bare metal is, too, and has no hypervisor."""
    return bool(_types()[instance_type].get("Hypervisor") != "xen")


@cache
def zones_offering(region: str, instance_type: str) -> tuple[str, ...]:
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

    offered = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return tuple(sorted({o["Location"] for o in offered if o["InstanceType"] == instance_type}))


def offer_in_govcloud() -> None:
    """moto has no offers of us-gov-west-1: those of us-west-2 stand in for them."""
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

    for kind, old, new in (
        ("region", "us-west-2", "us-gov-west-1"),
        ("availability-zone", "us-west-2", "us-gov-west-1"),
        ("availability-zone-id", "usw2-", "usgw1-"),  # moto's names of the zones
    ):
        INSTANCE_TYPE_OFFERINGS[kind]["us-gov-west-1"] = [
            {**each, "Location": each["Location"].replace(old, new)}
            for each in INSTANCE_TYPE_OFFERINGS[kind]["us-west-2"]
            if not each["Location"].endswith(("2d", "az4"))  # it has three zones
        ]


def _types() -> dict[str, Any]:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    types: dict[str, Any] = INSTANCE_TYPES
    return types


@cache
def _data(name: str) -> Any:
    return json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
