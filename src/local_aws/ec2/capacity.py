"""Whether there is room: the account's vCPU quotas and the zones' capacity, as the weather sets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError

from local_aws.api.errors import Refused
from local_aws.ec2 import catalogue
from local_aws.faults import ANY, weather

_LIVE = ("pending", "running")  # count against on-demand quotas; a stopped spot instance counts too


@dataclass(frozen=True)
class Quota:
    code: str
    name: str
    families: tuple[str, ...]  # the letters of the type's name before its generation
    spot: bool


QUOTAS = (
    Quota("L-DB2E81BA", "Running On-Demand G and VT instances", ("g", "gr", "vt"), False),
    Quota("L-417A185B", "Running On-Demand P instances", ("p",), False),
    Quota(
        "L-1216C47A",
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        tuple("acdhimrtz"),
        False,
    ),
    Quota("L-3819A6DF", "All G and VT Spot Instance Requests", ("g", "gr", "vt"), True),
    Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", ("p",), True),
    Quota("L-C4BD4855", "All P5 Spot Instance Requests", ("p5",), True),
    Quota(
        "L-34B43A08",
        "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
        tuple("acdhimrtz"),
        True,
    ),
)  # fmt: skip


def check_room(
    backend: Any, instance_type: str, zone: str, count: int, *, spot: bool, other_zones: tuple[str, ...] = ()
) -> None:
    """Raise AWS's error unless `count` more instances of the type fit. AWS checks the quota first."""
    check_quota(backend, instance_type, count, spot=spot)
    check_capacity(backend, instance_type, zone, count, spot=spot, other_zones=other_zones)


def check_capacity(
    backend: Any, instance_type: str, zone: str, count: int, *, spot: bool, other_zones: tuple[str, ...] = ()
) -> None:
    if not has_capacity(backend, instance_type, zone, count, spot=spot):
        if spot:
            message = "There is no Spot capacity available that matches your request."
        else:
            elsewhere = ", ".join(z for z in other_zones if z != zone) or "another Region"
            message = (
                f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you "
                f"requested ({zone}). Our system will be working on provisioning additional capacity. You "
                f"can currently get {instance_type} capacity by not specifying an Availability Zone in your "
                f"request or choosing {elsewhere}."
            )
        raise Refused("InsufficientInstanceCapacity", message, status=500)


def has_capacity(backend: Any, instance_type: str, zone: str, count: int, *, spot: bool) -> bool:
    left = room(backend, instance_type, zone, spot=spot)
    return left is None or count <= left


def room(backend: Any, instance_type: str, zone: str, *, spot: bool) -> int | None:
    """How many more instances fit; below zero if more run than fit now, None for any number."""
    tables = weather().spot_capacity if spot else weather().capacity
    zones = tables.get(instance_type, tables.get(ANY, {}))
    limit = zones.get(zone, zones.get(ANY))
    if limit is None:
        return None
    there = sum(
        i.instance_type == instance_type and i.placement.zone == zone and i.state in _LIVE
        for i in backend.all_instances()
        if (i.lifecycle == "spot") is spot
    )
    return int(limit - there)


def quota_of(instance_type: str, *, spot: bool) -> Quota | None:
    """The quota of a type, found by the letters before the generation's digit, or with the digit."""
    family = instance_type.split(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz-")
    letters = family.rstrip("0123456789")
    for name in (family, letters):
        for quota in QUOTAS:
            if quota.spot is spot and name in quota.families:
                return quota
    return None


def check_quota(backend: Any, instance_type: str, count: int, *, spot: bool) -> None:
    quota = quota_of(instance_type, spot=spot)
    if quota is None:
        return
    limit = weather().quotas.get(quota.code, 0)
    wanted = count * catalogue.vcpus(instance_type)
    used = sum(catalogue.vcpus(i.instance_type) for i in _counted(backend, quota))
    if used + wanted <= limit:
        return
    if spot:
        raise EC2ClientError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    raise EC2ClientError(
        "VcpuLimitExceeded",
        f"You have requested more vCPU capacity than your current vCPU limit of {limit:.0f} allows for the "
        "instance bucket that the specified instance type belongs to. Please visit "
        "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
    )


def _counted(backend: Any, quota: Quota) -> Iterator[Any]:
    states = (*_LIVE, "stopping", "stopped") if quota.spot else _LIVE
    for instance in backend.all_instances():
        is_spot = instance.lifecycle == "spot"
        if instance.state in states and quota_of(instance.instance_type, spot=is_spot) is quota:
            yield instance
