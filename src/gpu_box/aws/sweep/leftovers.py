"""Read, name and price what bills in a region, or was created by gpu-box. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from gpu_box.aws import deadline, tags
from gpu_box.aws.answers import listed
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.aws.instance import parse_instance
from gpu_box.aws.observe import image_created
from gpu_box.aws.prices.catalogue import catalogue
from gpu_box.aws.prices.prices import price_reader, read_disk_month, snapshot_gib_month
from gpu_box.config.model import Disk
from gpu_box.errors import CloudError, CloudUnreachable
from gpu_box.model.leftovers import Leftover
from gpu_box.model.observed import InstanceState
from gpu_box.model.price import HOURS_PER_MONTH
from gpu_box.model.stop_reason import is_forgotten, stopped_for
from gpu_box.units import format_duration

# Families of accelerated instances (EC2 User Guide, "Accelerated computing").
_ACCELERATED = re.compile(r"(g|gr|p|vt|trn|inf|dl)\d")
_OLD = timedelta(days=30)  # for snapshots and images that are not gpu-box's
_MADE_BY_NAME = "gpu-box-"
# EC2 allows fewer requests that name neither a page nor a filter ("Request throttling for the Amazon EC2
# API"). DescribeVolumes has the smallest largest page.
_BY_PAGE = {"PageSize": 500}


def read_region(cloud: Cloud, *, everything: bool, now: datetime) -> list[Leftover]:
    """Resources of gpu-box; with `everything`, also unused ones that bill. Raises CloudError."""
    read = partial(_read, cloud)
    forgotten_after = cloud.config.limits.forgotten_after
    # One after another: regions are read in parallel already, and 200 threads would slow each other down.
    requests = read("describe_spot_instance_requests", "SpotInstanceRequests")
    launched = _with_their_requests_tags(read("describe_instances", "Reservations"), requests)
    return [
        *_instances(cloud, launched, everything, now, forgotten_after),
        *_volumes(cloud, read("describe_volumes", "Volumes"), everything),
        *_addresses(cloud, read("describe_addresses", "Addresses"), everything),
        *_snapshots(cloud, read("describe_snapshots", "Snapshots", OwnerIds=["self"]), everything, now),
        *_images(cloud, read("describe_images", "Images", Owners=["self"]), everything, now),
        *_spot_requests(cloud, requests, everything),
        *_ours(cloud, "security group", "GroupId", read("describe_security_groups", "SecurityGroups")),
        *_ours(cloud, "key pair", "KeyName", read("describe_key_pairs", "KeyPairs")),
        *_ours(cloud, "placement group", "GroupName", read("describe_placement_groups", "PlacementGroups")),
        *_schedules(cloud),
    ]


def read_roles(cloud: Cloud, regions: Iterable[str]) -> list[Leftover]:
    """The regions' deadline roles by name, because AWS lists roles without their tags."""
    with translated("listing roles"):
        roles = list(listed(cloud.client("iam"), "list_roles"))
    names = {tags.role_name(region): region for region in regions}
    return [
        Leftover(
            kind="role",
            id=role["RoleName"],
            region=names[role["RoleName"]],
            since=role["CreateDate"],
            note="shared by the boxes there; removed with the last one",
        )
        for role in roles
        if role["RoleName"] in names
    ]


def _read(cloud: Cloud, operation: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
    ec2 = cloud.ec2
    with translated(f"reading {cloud.region}"):
        if ec2.can_paginate(operation):
            return list(listed(ec2, operation, PaginationConfig=_BY_PAGE, **arguments))
        whole: list[dict[str, Any]] = getattr(ec2, operation)(**arguments)[key]
        return whole


def _named(cloud: Cloud, kind: str, id_: str, raw: dict[str, Any]) -> Callable[..., Leftover]:
    values = tags.tag_map(raw)
    return partial(
        Leftover,
        kind=kind,
        id=id_,
        region=cloud.region,
        box=values.get(tags.NAME, ""),
        owner=tags.owner_of(values),
    )


def _is_ours(raw: dict[str, Any]) -> bool:
    return tags.NAME in tags.tag_map(raw)


def _with_their_requests_tags(
    reservations: list[dict[str, Any]], requests: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The instances, with their spot request's tags if AWS launched them without (`relaunched`)."""
    ours = {r["SpotInstanceRequestId"]: r["Tags"] for r in requests if _is_ours(r)}
    for raw in (instance for reservation in reservations for instance in reservation["Instances"]):
        own = None if _is_ours(raw) else ours.get(raw.get("SpotInstanceRequestId", ""))
        if own:
            raw["Tags"] = own
        yield raw


def _instances(
    cloud: Cloud, instances: Iterable[dict[str, Any]], everything: bool, now: datetime, after: timedelta
) -> Iterator[Leftover]:
    price_of = price_reader(cloud)
    for raw in instances:
        instance = parse_instance(raw)
        accelerated = _ACCELERATED.match(instance.type) and instance.state.bills
        if not (_is_ours(raw) or (everything and accelerated)):
            continue
        if instance.state is InstanceState.TERMINATED:
            continue
        usd: Decimal | None = Decimal(0)
        if instance.state.bills:
            price = price_of(instance)
            usd = (
                (price.instance_hour + price.address_hour) * HOURS_PER_MONTH
                if price.instance_hour is not None
                else None
            )
        note, duration = instance.type, stopped_for(instance, now)
        if duration:
            note += f", stopped for {format_duration(duration)}"
            note += ": forgotten? Its disk still bills" if is_forgotten(instance, now, after=after) else ""
        note += "".join(f"; {one.what}" for one in instance.unreadable if _is_ours(raw))
        yield _named(cloud, "instance", instance.id, raw)(
            state=str(instance.state), since=instance.launched, usd_month=usd, note=note
        )


def _volumes(cloud: Cloud, volumes: list[dict[str, Any]], everything: bool) -> Iterator[Leftover]:
    for raw in volumes:
        if not (_is_ours(raw) or (everything and raw["State"] == "available")):
            continue
        disk = Disk(
            size_gib=raw["Size"],
            type=raw["VolumeType"],
            iops=raw.get("Iops"),
            throughput_mib=raw.get("Throughput"),
        )
        yield _named(cloud, "volume", raw["VolumeId"], raw)(
            state=raw["State"],
            since=raw["CreateTime"],
            usd_month=read_disk_month(cloud, disk),
            note=f"{disk.size_gib} GiB {disk.type}",
        )


def _addresses(cloud: Cloud, addresses: list[dict[str, Any]], everything: bool) -> Iterator[Leftover]:
    for raw in addresses:
        idle = not (raw.get("AssociationId") or raw.get("InstanceId"))
        if _is_ours(raw) or (everything and idle):
            yield _named(cloud, "address", raw["AllocationId"], raw)(
                state="idle" if idle else "attached",
                usd_month=catalogue().public_ipv4_hour * HOURS_PER_MONTH,
                note=raw.get("PublicIp", ""),
            )


def _snapshots(
    cloud: Cloud, snapshots: list[dict[str, Any]], everything: bool, now: datetime
) -> Iterator[Leftover]:
    for raw in snapshots:
        if _is_ours(raw) or (everything and now - raw["StartTime"] > _OLD):
            yield _named(cloud, "snapshot", raw["SnapshotId"], raw)(
                state=raw["State"],
                since=raw["StartTime"],
                usd_month=snapshot_gib_month(cloud) * raw["VolumeSize"],
                note=f"{raw['VolumeSize']} GiB at most: only changes are billed",
            )


def _images(
    cloud: Cloud, images: list[dict[str, Any]], everything: bool, now: datetime
) -> Iterator[Leftover]:
    for raw in images:
        made = image_created(raw)
        if _is_ours(raw) or (everything and now - made > _OLD):
            yield _named(cloud, "image", raw["ImageId"], raw)(
                state=raw["State"], since=made, note=f"{raw.get('Name', '')}; its snapshots bill"
            )


def _spot_requests(cloud: Cloud, requests: list[dict[str, Any]], everything: bool) -> Iterator[Leftover]:
    for raw in requests:
        alive = raw["State"] not in ("closed", "cancelled", "failed")
        if alive and (_is_ours(raw) or everything):
            yield _named(cloud, "spot request", raw["SpotInstanceRequestId"], raw)(
                state=raw["State"],
                since=raw.get("CreateTime"),
                note="relaunches until it is cancelled" if raw.get("Type") == "persistent" else "",
            )


def _ours(cloud: Cloud, kind: str, id_field: str, found: list[dict[str, Any]]) -> Iterator[Leftover]:
    for raw in filter(_is_ours, found):
        yield _named(cloud, kind, raw[id_field], raw)(since=raw.get("CreateTime"))


def _schedules(cloud: Cloud) -> Iterator[Leftover]:
    """By name, with the owner that `deadline.arm` wrote, because a schedule has no tags."""
    try:
        with translated(f"reading {cloud.region}"):
            schedules = list(listed(cloud.client("scheduler"), "list_schedules", NamePrefix=_MADE_BY_NAME))
    except CloudError as error:
        if isinstance(error, CloudUnreachable) and not cloud.is_offered("scheduler"):
            return  # so there are none
        raise
    for raw in schedules:
        yield Leftover(
            kind="schedule",
            id=raw["Name"],
            region=cloud.region,
            box=raw["Name"].removeprefix(_MADE_BY_NAME),
            owner=deadline.read_owner(cloud, raw["Name"]),
            state=raw.get("State", "").lower(),
            since=raw.get("CreationDate"),
        )
