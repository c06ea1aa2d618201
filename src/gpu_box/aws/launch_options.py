"""The possible launches: the image, the zones that offer the type, and their subnets."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import answers, tags
from gpu_box.aws.answers import malformed
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.instance_types import read_hardware, read_offerings, unknown
from gpu_box.aws.observe import image_created, parse_image, read_images
from gpu_box.aws.routes import refuse_unreachable
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError, PermissionDenied
from gpu_box.model.observed import Launchable, Placement
from gpu_box.plan import fit
from gpu_box.plan.ownership import anothers_box

# Public SSM parameters (AWS's DLAMI release notes; Canonical's "Find Ubuntu images on AWS").
_LEARNING = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-{}/latest/ami-id"
_CANONICAL = "/aws/service/canonical/ubuntu/server/{}/stable/current/amd64/hvm/ebs-{}/ami-id"
_PARAMETERS = {
    ("deep-learning", "24.04"): _LEARNING.format("24.04"),
    ("deep-learning", "22.04"): _LEARNING.format("22.04"),
    ("ubuntu", "24.04"): _CANONICAL.format("24.04", "gp3"),
    ("ubuntu", "22.04"): _CANONICAL.format("22.04", "gp2"),
}
# Their titles, and the properties that they share with the Ubuntu images they are based on.
_TITLES = {"deep-learning": "Deep Learning Base AMI on Ubuntu", "ubuntu": "Ubuntu"}
_ROOT_DEVICE, _ARCHITECTURE = "/dev/sda1", "x86_64"
_SURELY_ENOUGH_GIB = 100  # more than these images ever needed, so their size need not be read
# The image's owner and name, if the parameter is renamed or cannot be read: AWS's deep-learning account, and
# Canonical.
_NAMES = {
    "deep-learning": ("898082745236", "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu {release}) *"),
    "ubuntu": ("099720109477", "ubuntu/images/hvm-ssd*/ubuntu-*-{release}-amd64-server-*"),
}


def read_launchable(cloud: Cloud, *, describe: bool = False) -> Launchable:
    """Raises InputError for a type, zone, subnet or image that is missing there, or that do not fit together.

    describe: also read the name of an image found by its parameter, which a launch does not need.
    """
    config = cloud.config
    own, base, subnets, offered, shared, hardware = side_by_side(
        lambda: _own_image(cloud),
        lambda: _image(cloud, describe=describe),
        lambda: _subnets(cloud),
        lambda: read_offerings(cloud, config.instance_types),
        lambda: _cluster_group(cloud) if config.cluster else None,
        lambda: read_hardware(cloud, config.instance_types),
    )
    placements = _placements(config, cloud.region, subnets, offered)
    image, described = own or base, _described(own) if own else {}
    for one in hardware.values():
        fit.refuse_unfit(
            one,
            architecture=image.get("Architecture", _ARCHITECTURE),
            own_image=bool(config.image.id),
            where="instance_types",
        )
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
        image_created=image_created(image) if "CreationDate" in image else None,
        image_deprecated=answers.moment(image.get("DeprecationTime", "")),
        initialization_mib=config.disk.initialization_mib if own else 0,
        root_device=root,
        min_disk_gib=max(sizes, default=8),
        vpc_id=subnets[0]["VpcId"],
        placements=placements,
        cluster_group_id=shared,
    )


def _own_image(cloud: Cloud) -> dict[str, Any] | None:
    """The newest usable image of the box's own disk."""
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
            remedy="AMI ids differ by region: use one of this region, or remove image.id.",
        )
    return max(found, key=lambda image: str(image.get("CreationDate", "")))


def _latest_image_id(cloud: Cloud) -> str | None:
    """None if the parameter is missing or cannot be read: the image is then found by its name."""
    image, ssm = cloud.config.image, cloud.client("ssm")
    parameter = _PARAMETERS[image.family, image.release]
    missing = ssm.exceptions.ParameterNotFound
    with suppress(PermissionDenied), translated("finding the image"), suppress(missing):
        return str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
    return None


def _cluster_group(cloud: Cloud) -> str | None:
    wanted = tags.named(tags.of_cluster(cloud.config))
    with translated("reading the cluster's security group"):
        found = cloud.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
    return str(found[0]["GroupId"]) if found else None


def _subnets(cloud: Cloud) -> list[dict[str, Any]]:
    """One subnet per zone, all in one VPC; those of the config in its order."""
    wanted = cloud.config.network.subnet
    with translated("reading subnets"):
        try:
            default = {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
            asked = {"SubnetIds": list(wanted)} if wanted else default
            found: list[dict[str, Any]] = cloud.ec2.describe_subnets(**asked)["Subnets"]
        except ClientError as error:
            if not code_of(error).startswith("InvalidSubnet"):
                raise
            absent = [one for one in wanted if one in str(error)] or wanted
            raise InputError(
                f"no subnet {', '.join(absent)} in {cloud.region}",
                where="network.subnet",
                remedy="Use subnets of this region.",
            ) from None
    if not found:
        raise CloudError(
            f"your account has no default subnet in {cloud.region}",
            remedy=f"Run `aws ec2 create-default-subnet --availability-zone {cloud.region}a`, or without a "
            "default VPC `aws ec2 create-default-vpc`; or set network.subnet.",
        )
    if wanted:
        found = [one for one in found if one["SubnetId"] in wanted]
        if not found:
            raise malformed("DescribeSubnets", "it has none of the subnets asked for")
        found.sort(key=lambda one: wanted.index(one["SubnetId"]))
        _refuse_conflicting(found)
        refuse_unreachable(cloud, found)
    return found


def _refuse_conflicting(subnets: list[dict[str, Any]]) -> None:
    """Raise unless the subnets are in one VPC, as a box's security group is, and in different zones."""
    if len(vpcs := {one["VpcId"]: one["SubnetId"] for one in subnets}) > 1:
        listed = ", ".join(f"{subnet} in {vpc}" for vpc, subnet in vpcs.items())
        raise InputError(
            f"the subnets are in several VPCs: {listed}",
            where="network.subnet",
            remedy="Use subnets of one VPC: a box has one security group, which belongs to one VPC.",
        )
    by_zone: dict[str, str] = {}
    for one in subnets:
        zone, subnet = one["AvailabilityZone"], one["SubnetId"]
        if zone in by_zone:
            raise InputError(
                f"{by_zone[zone]} and {subnet} are both in {zone}",
                where="network.subnet",
                remedy="Use one subnet for each zone.",
            )
        by_zone[zone] = subnet


def _placements(
    config: Config, region: str, subnets: list[dict[str, Any]], offered: set[tuple[str, str]]
) -> tuple[Placement, ...]:
    """Types in the config's order; within a type, zones in the order of config or subnets, or by name."""
    by_zone = {s["AvailabilityZone"]: s["SubnetId"] for s in subnets}
    for zone in config.zones:
        if zone not in by_zone:
            raise InputError(
                f"no zone {zone!r} with a subnet in {region}",
                where="zones",
                remedy=f"Zones here: {', '.join(sorted(by_zone))}.",
            )
    zones = config.zones or tuple(by_zone if config.network.subnet else sorted(by_zone))
    for wanted in config.instance_types:
        its_zones = sorted(z for t, z in offered if t == wanted)
        if not its_zones:
            raise unknown(region, wanted, where="instance_types")
        if not set(its_zones) & set(zones):
            raise InputError(
                f"{wanted} is not offered in {', '.join(zones)}",
                where="zones",
                remedy=f"In {region} it is offered in {', '.join(its_zones)}.",
            )
    # Every spot placement before any on-demand one, as spot-then-on-demand means.
    markets = ("spot", "on-demand") if config.market == "spot-then-on-demand" else (config.market,)
    return tuple(
        Placement(type=wanted, zone=zone, subnet_id=by_zone[zone], market=market)
        for market in markets
        for wanted in config.instance_types
        for zone in zones
        if (wanted, zone) in offered
    )
