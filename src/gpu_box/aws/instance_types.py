"""Instance types in AWS: where they are offered, and their hardware."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws.answers import listed, malformed
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.prices.catalogue import catalogue, gpu_types
from gpu_box.errors import InputError
from gpu_box.model.hardware import Hardware
from gpu_box.model.observed import Instance
from gpu_box.nearest import meant
from gpu_box.plan import fit


def refuse_unfit(cloud: Cloud, wanted: str, *, like: Instance) -> None:
    """Raise InputError if `like` cannot become a `wanted`: type unknown, wrong zone or architecture."""
    zones, known = side_by_side(
        lambda: _zones(cloud, wanted), lambda: _read_hardware(cloud, {wanted, like.type})
    )
    if wanted not in known:
        raise unknown(cloud.region, wanted, where="resize")
    if like.type not in known:
        raise malformed("DescribeInstanceTypes", f"it has no {like.type}")
    if like.zone not in zones:
        raise InputError(
            f"{wanted} is not offered in {like.zone}, where the box's disk is",
            where="resize",
            remedy=f"In {cloud.region} it is offered in {', '.join(sorted(zones))}.",
        )
    runs, made_for = known[wanted].architectures, known[like.type].architectures
    if not runs & made_for:
        raise InputError(
            f"{wanted} runs {' and '.join(sorted(runs))}, and the box's disk is made for "
            f"{' and '.join(sorted(made_for))}",
            where="resize",
            remedy="Choose a type of the same architecture, or make a new box with another image.",
        )
    own_image = bool(cloud.config.image.id)
    fit.refuse_unfit(known[wanted], architecture=min(runs & made_for), own_image=own_image, where="resize")


def unknown(region: str, wanted: str, *, where: str) -> InputError:
    """The error for a type that the region does not have. where: the key or command that gave it."""
    return InputError(
        f"AWS has no instance type {wanted!r} in {region}",
        where=where,
        remedy=meant(wanted, gpu_types()).strip() or None,
    )


def is_offered(cloud: Cloud, wanted: str) -> bool:
    """Whether the region has the type in any zone."""
    return bool(_zones(cloud, wanted))


def read_hardware(cloud: Cloud, types: Collection[str]) -> dict[str, Hardware]:
    """By type. AWS is asked only about types missing from the catalogue; unknown types are left out."""
    known = {
        name: Hardware(
            type=name, architectures=frozenset({"x86_64"}), accelerator=f"NVIDIA {gpu.gpu}", share=gpu.share
        )
        for name, gpu in catalogue().types.items()
        if name in types
    }
    unknown = set(types) - known.keys()
    return {**known, **(_read_hardware(cloud, unknown) if unknown else {})}


def read_offerings(cloud: Cloud, types: Collection[str]) -> set[tuple[str, str]]:
    """(type, zone) for each of the types in each zone of the region that offers it."""
    with translated("reading where the instance types are offered"):
        found = listed(
            cloud.ec2,
            "describe_instance_type_offerings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": list(types)}],
        )
        return {(one["InstanceType"], one["Location"]) for one in found}


def _zones(cloud: Cloud, wanted: str) -> set[str]:
    return {zone for _, zone in read_offerings(cloud, [wanted])}


def _read_hardware(cloud: Cloud, types: Collection[str]) -> dict[str, Hardware]:
    """Empty if AWS does not know one of the types."""
    with translated("reading the instance types"):
        try:
            raw: list[dict[str, Any]] = cloud.ec2.describe_instance_types(InstanceTypes=sorted(types))[
                "InstanceTypes"
            ]
        except ClientError as error:
            if code_of(error) != "InvalidInstanceType":
                raise
            raw = []
    return {one["InstanceType"]: parse_hardware(one) for one in raw}


# Where DescribeInstanceTypes lists accelerators. Neuron devices have no manufacturer there: it is AWS.
_ACCELERATORS = (
    ("GpuInfo", "Gpus"),
    ("NeuronInfo", "NeuronDevices"),
    ("InferenceAcceleratorInfo", "Accelerators"),
    ("MediaAcceleratorInfo", "Accelerators"),
    ("FpgaInfo", "Fpgas"),
)


def parse_hardware(raw: dict[str, Any]) -> Hardware:
    """raw: an entry of DescribeInstanceTypes' InstanceTypes."""
    found = [device for info, devices in _ACCELERATORS for device in raw.get(info, {}).get(devices, [])]
    first = found[0] if found else {}
    return Hardware(
        type=raw["InstanceType"],
        architectures=frozenset(raw["ProcessorInfo"]["SupportedArchitectures"]),
        accelerator=f"{first.get('Manufacturer', 'AWS')} {first.get('Name', '')}".strip() if found else "",
        share=round(1 / first.get("GpuPartitionSize", 1)),
    )
