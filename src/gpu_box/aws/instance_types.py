"""What AWS says of instance types: where they are offered, and what they run."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.prices.catalogue import gpu_types
from gpu_box.errors import InputError
from gpu_box.model.observed import Instance


def refuse_unfit(cloud: Cloud, wanted: str, *, like: Instance) -> None:
    """Raises InputError where `like` cannot become a `wanted`: unknown, not in its zone, not for its disk."""
    zones, known = side_by_side(
        lambda: _zones(cloud, wanted), lambda: _architectures(cloud, wanted, like.type)
    )
    if wanted not in known:
        near = get_close_matches(wanted, gpu_types(), n=1)
        raise InputError(
            f"AWS has no instance type {wanted!r} in {cloud.region}",
            where="resize",
            remedy=f"Did you mean {near[0]}?" if near else None,
        )
    if like.zone not in zones:
        raise InputError(
            f"{wanted} is not offered in {like.zone}, where the box's disk is",
            where="resize",
            remedy=f"In {cloud.region} it is offered in {', '.join(sorted(zones))}.",
        )
    if not known[wanted] & known[like.type]:
        raise InputError(
            f"{wanted} runs {' and '.join(sorted(known[wanted]))}, and the box's disk is made for "
            f"{' and '.join(sorted(known[like.type]))}",
            where="resize",
            remedy="Choose a type of the same architecture, or `gpu-box down` and up with another image.",
        )


def _zones(cloud: Cloud, wanted: str) -> set[str]:
    with translated("reading where the instance type is offered"):
        pages = cloud.ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [wanted]}]
        )
        return {offering["Location"] for page in pages for offering in page["InstanceTypeOfferings"]}


def _architectures(cloud: Cloud, *types: str) -> dict[str, set[str]]:
    """A type that AWS does not know is left out."""
    with translated("reading the instance types"):
        try:
            raw: list[dict[str, Any]] = cloud.ec2.describe_instance_types(InstanceTypes=sorted(set(types)))[
                "InstanceTypes"
            ]
        except ClientError as error:
            if code_of(error) != "InvalidInstanceType":
                raise
            raw = []
    return {one["InstanceType"]: set(one["ProcessorInfo"]["SupportedArchitectures"]) for one in raw}
