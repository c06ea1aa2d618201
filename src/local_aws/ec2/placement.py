"""Placement groups, which moto lacks: create, describe, launch into, delete when empty."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError

# Families that a cluster placement group does not take (EC2 User Guide, "Cluster placement groups").
_NOT_IN_A_CLUSTER = ("t2", "t3", "t3a", "t4g", "mac1", "mac2")


@dataclass
class PlacementGroup:
    id: str
    name: str
    strategy: str


def all_of(backend: Any) -> dict[str, PlacementGroup]:
    """The placement groups by name."""
    if not hasattr(backend, "placement_groups"):
        backend.placement_groups = {}
    found: dict[str, PlacementGroup] = backend.placement_groups
    return found


def create(backend: Any, name: str, strategy: str, tags: dict[str, str]) -> PlacementGroup:
    if name in all_of(backend):
        raise EC2ClientError(
            "InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists."
        )
    made = PlacementGroup(f"pg-{secrets.token_hex(8)[:17]}", name, strategy)
    all_of(backend)[name] = made
    for key, value in tags.items():
        backend.tags[made.id][key] = value
    return made


def find(backend: Any, name: str) -> PlacementGroup:
    try:
        return all_of(backend)[name]
    except KeyError:
        raise EC2ClientError(
            "InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown."
        ) from None


def delete(backend: Any, name: str) -> None:
    group = find(backend, name)
    if any(instance.state != "terminated" for instance in _in(backend, name)):
        raise EC2ClientError(
            "InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use and may not be deleted."
        )
    del all_of(backend)[name]
    backend.tags.pop(group.id, None)


def check_launch(backend: Any, name: str, instance_type: str) -> None:
    group = find(backend, name)
    if group.strategy == "cluster" and instance_type.partition(".")[0] in _NOT_IN_A_CLUSTER:
        raise EC2ClientError(
            "InvalidParameterCombination",
            f"Cluster placement groups are not supported by the '{instance_type}' instance type. Specify a "
            "supported instance type or change the placement group strategy, and try again.",
        )


def put(instance: Any, name: str) -> None:
    instance.placement_group = name
    instance.placement.group_name = name


def described(backend: Any, names: list[str], filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups = [find(backend, name) for name in names] if names else list(all_of(backend).values())
    shown = [shape(backend, group) for group in groups]
    return [one for one in shown if all(_passes(one, wanted) for wanted in filters)]


def shape(backend: Any, group: PlacementGroup) -> dict[str, Any]:
    tags = backend.tags.get(group.id, {})
    return {
        "GroupName": group.name,
        "GroupId": group.id,
        "State": "available",
        "Strategy": group.strategy,
        "GroupArn": (
            f"arn:{backend.partition}:ec2:{backend.region_name}:{backend.account_id}:placement-group/{group.name}"
        ),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def _passes(shown: dict[str, Any], wanted: dict[str, Any]) -> bool:
    name, values = wanted["Name"], wanted.get("Values", [])
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    if name == "tag-key":
        return any(value in tags for value in values)
    if name.startswith("tag:"):
        return tags.get(name.removeprefix("tag:")) in values
    known = {"group-name": "GroupName", "state": "State", "strategy": "Strategy"}
    if name not in known:
        raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return shown[known[name]] in values


def _in(backend: Any, name: str) -> list[Any]:
    return [
        instance
        for reservation in backend.reservations.values()
        for instance in reservation.instances
        if getattr(instance, "placement_group", "") == name
    ]
