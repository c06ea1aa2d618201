"""What could be launched now, and where: the image, the zones that offer the type, their subnets."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import tags
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.observe import parse_image, read_images
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError
from gpu_box.model.observed import Launchable, Placement
from gpu_box.plan.ownership import anothers_box

# Public SSM parameters (AWS.md; AWS's DLAMI release notes, Canonical's "Find Ubuntu images on AWS").
_PARAMETERS = {
    ("deep-learning", "24.04"): (
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
    ),
    ("deep-learning", "22.04"): (
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
    ),
    ("ubuntu", "24.04"): (
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    ),
    ("ubuntu", "22.04"): (
        "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id",
    ),
}
# What those are called in a sentence, and their root device: that of Canonical's images, on which both build.
_TITLES = {"deep-learning": "Deep Learning Base AMI on Ubuntu", "ubuntu": "Ubuntu"}
_ROOT_DEVICE = "/dev/sda1"
_SURELY_ENOUGH_GIB = 100  # more than these images have ever needed: so nobody is asked how much it is
# Where a parameter has another name: the image's owner (AWS's deep-learning account; Canonical) and name.
_NAMES = {
    "deep-learning": (
        "898082745236",
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu {release}) *",
    ),
    "ubuntu": ("099720109477", "ubuntu/images/hvm-ssd*/ubuntu-*-{release}-amd64-server-*"),
}


def read_launchable(cloud: Cloud, *, describe: bool = False) -> Launchable:
    """Raises InputError for a type, zone, subnet or image that AWS does not have there.

    describe: also ask for the name of an image whose id AWS has just told: a launch does not need it.
    """
    config = cloud.config
    own, base, subnets, offered, shared = side_by_side(
        lambda: _own_image(cloud),
        lambda: _image(cloud, describe=describe),
        lambda: _subnets(cloud),
        lambda: _offerings(cloud),
        lambda: _cluster_group(cloud) if config.cluster else None,
    )
    placements = _placements(config, cloud.region, subnets, offered)
    image, described = own or base, _described(own) if own else {}
    root = image["RootDeviceName"]
    sizes = [
        m["Ebs"].get("VolumeSize", 8)
        for m in image.get("BlockDeviceMappings", [])
        if m.get("DeviceName") == root and "Ebs" in m
    ]
    return Launchable(
        image_id=image["ImageId"],
        image_name=described.get("name") or image.get("Name", image["ImageId"]),
        image_kind=described.get("kind", ""),
        image_pending=image.get("State") == "pending",
        root_device=root,
        min_disk_gib=max(sizes, default=8),
        vpc_id=subnets[0]["VpcId"],
        placements=placements,
        cluster_group_id=shared,
    )


def _own_image(cloud: Cloud) -> dict[str, Any] | None:
    """The newest one of the box's own disk: what was on it is there again."""
    config = cloud.config
    for raw in read_images(cloud):
        image = parse_image(raw)
        if image.usable:
            if image.owner not in ("", tags.owner_tag(config)) and not config.any_owner:
                raise anothers_box(image.owner, name=config.name, region=cloud.region)
            return raw
    return None


def _described(own: dict[str, Any]) -> dict[str, str]:
    image = parse_image(own)
    return {
        "kind": image.kind,
        "name": f"from its own disk as of {image.created.astimezone():%a %b %d %H:%M}",
    }


def _image(cloud: Cloud, *, describe: bool) -> dict[str, Any]:
    wanted = cloud.config.image
    image_id = wanted.id or _latest_image_id(cloud)
    large = cloud.config.disk.size_gib >= _SURELY_ENOUGH_GIB
    if image_id and not wanted.id and large and not describe:
        name = f"{_TITLES[wanted.family]} {wanted.release}, {image_id}"
        return {"ImageId": image_id, "Name": name, "RootDeviceName": _ROOT_DEVICE}
    with translated("reading the image"):
        try:
            if image_id:
                found = cloud.ec2.describe_images(ImageIds=[image_id])["Images"]
            else:
                owner, name = _NAMES[wanted.family]
                name = name.format(release=wanted.release)
                found = cloud.ec2.describe_images(
                    Owners=[owner],
                    Filters=[{"Name": "name", "Values": [name]}, {"Name": "state", "Values": ["available"]}],
                )["Images"]
        except ClientError as error:
            if not code_of(error).startswith("InvalidAMIID"):
                raise
            found = []
    if not found:
        raise InputError(
            f"no image {image_id or wanted.family!r} in {cloud.region}",
            where="image",
            remedy="AMI ids differ by region: give one of this region, or leave image.id out.",
        )
    return max(found, key=lambda image: str(image.get("CreationDate", "")))


def _latest_image_id(cloud: Cloud) -> str | None:
    image, ssm = cloud.config.image, cloud.client("ssm")
    for parameter in _PARAMETERS[image.family, image.release]:
        with translated("finding the image"):
            try:
                return str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
            except ssm.exceptions.ParameterNotFound:
                continue
    return None


def _cluster_group(cloud: Cloud) -> str | None:
    wanted = tags.named(tags.of_cluster(cloud.config))
    with translated("reading the cluster's security group"):
        found = cloud.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
    return str(found[0]["GroupId"]) if found else None


def _subnets(cloud: Cloud) -> list[dict[str, Any]]:
    wanted = cloud.config.network.subnet
    with translated("reading subnets"):
        try:
            found: list[dict[str, Any]] = cloud.ec2.describe_subnets(
                **(
                    {"SubnetIds": [wanted]}
                    if wanted
                    else {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
                )
            )["Subnets"]
        except ClientError as error:
            if not code_of(error).startswith("InvalidSubnet"):
                raise
            found = []
    if found:
        return found
    if wanted:
        raise InputError(
            f"no subnet {wanted} in {cloud.region}", where="network.subnet", remedy="Give one of this region."
        )
    raise CloudError(
        f"your account has no default VPC in {cloud.region}",
        remedy="Make one with `aws ec2 create-default-vpc`, or name a subnet in network.subnet.",
    )


def _offerings(cloud: Cloud) -> set[tuple[str, str]]:
    """(type, zone) for every type in the config that the region offers."""
    with translated("reading where the instance types are offered"):
        pages = cloud.ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": list(cloud.config.instance_types)}],
        )
        return {(o["InstanceType"], o["Location"]) for page in pages for o in page["InstanceTypeOfferings"]}


def _placements(
    config: Config, region: str, subnets: list[dict[str, Any]], offered: set[tuple[str, str]]
) -> tuple[Placement, ...]:
    """Types in the config's order; within a type, zones in the config's order, else by name."""
    by_zone = {s["AvailabilityZone"]: s["SubnetId"] for s in subnets}
    for zone in config.zones:
        if zone not in by_zone:
            raise InputError(
                f"no zone {zone!r} with a subnet in {region}",
                where="zones",
                remedy=f"Zones here: {', '.join(sorted(by_zone))}.",
            )
    zones = config.zones or tuple(sorted(by_zone))
    for wanted in config.instance_types:
        its_zones = sorted(z for t, z in offered if t == wanted)
        if not its_zones:
            from gpu_box.aws.prices.catalogue import gpu_types

            near = get_close_matches(wanted, gpu_types(), n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise InputError(
                f"AWS has no instance type {wanted!r} in {region}",
                where="instance_types",
                remedy=meant.strip() or None,
            )
        if not set(its_zones) & set(zones):
            raise InputError(
                f"{wanted} is not offered in {', '.join(zones)}",
                where="zones",
                remedy=f"In {region} it is offered in {', '.join(its_zones)}.",
            )
    # All that is cheap before anything that is not: that is what spot-then-on-demand asks for.
    markets = ("spot", "on-demand") if config.market == "spot-then-on-demand" else (config.market,)
    return tuple(
        Placement(type=wanted, zone=zone, subnet_id=by_zone[zone], market=market)
        for market in markets
        for wanted in config.instance_types
        for zone in zones
        if (wanted, zone) in offered
    )
