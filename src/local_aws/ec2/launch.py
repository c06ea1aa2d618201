"""RunInstances: like AWS, checks everything before it makes anything, and fills in AWS's defaults."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError

from local_aws.ec2 import capacity, catalogue, disks, lifecycle
from local_aws.ec2.addresses import free_private_address
from local_aws.ec2.extra import extra


@dataclass(frozen=True)
class Order:
    """A launch that has passed all checks."""

    zone: str
    groups: list[Any]
    devices: list[dict[str, Any]]
    public_key: str
    spot_options: dict[str, Any] | None


def check(backend: Any, image_id: str, count: int, group_names: list[str], kwargs: dict[str, Any]) -> Order:
    image = _image(backend, image_id)
    instance_type = kwargs["instance_type"]
    if not catalogue.exists(instance_type):
        raise EC2ClientError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
    if image is not None and image.architecture not in catalogue.architectures(instance_type):
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{', '.join(catalogue.architectures(instance_type))}' of the specified "
            f"instance type does not match the architecture '{image.architecture}' of the specified AMI. "
            "Specify an instance type and an AMI that have matching architectures, and try again.",
        )
    public_key = _public_key(backend, kwargs.get("key_name"))
    spot_options = kwargs.get("instance_market_options")
    zone, vpc_id = _place(backend, instance_type, count, spot=spot_options is not None, kwargs=kwargs)
    groups = _groups(backend, vpc_id, group_names, kwargs)
    devices = disks.plan(image, kwargs.get("block_device_mappings") or [])
    offered = catalogue.zones_offering(backend.region_name, instance_type)
    capacity.check_room(
        backend, instance_type, zone, count, spot=spot_options is not None, other_zones=offered
    )
    return Order(zone, groups, devices, public_key, spot_options)


def finish(backend: Any, reservation: Any, order: Order, tags: dict[str, dict[str, str]]) -> None:
    """Give moto's new instances the attributes that RunInstances gives them."""
    for instance in reservation.instances:
        instance.security_groups = order.groups
        for nic in instance.nics.values():
            nic.delete_on_termination = True
            nic.private_ip_address = free_private_address()
            nic.add_tags(tags.get("network-interface", {}))
        disks.attach(backend, instance, order.devices, tags.get("volume", {}))
        extra(instance).public_key = order.public_key
        lifecycle.created(instance)


def _image(backend: Any, image_id: str | None) -> Any:
    if not image_id:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
    images = backend.describe_images(ami_ids=[image_id])  # raises InvalidAMIID.NotFound and .Malformed
    if not images:  # deregistered
        raise EC2ClientError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    if images[0].state != "available":
        raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")
    return images[0]


def _public_key(backend: Any, key_name: str | None) -> str:
    if not key_name:
        return ""
    if key_name not in backend.key_pairs:
        raise EC2ClientError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
    return str(backend.key_pairs[key_name].public_key)


def _place(
    backend: Any, instance_type: str, count: int, *, spot: bool, kwargs: dict[str, Any]
) -> tuple[str, str | None]:
    """The zone (by subnet or placement, else AWS's choice) and its VPC."""
    offered = catalogue.zones_offering(backend.region_name, instance_type)
    subnet_id = kwargs.get("subnet_id") or next(
        (n["SubnetId"] for n in kwargs.get("nics") or [] if n.get("SubnetId")), None
    )
    if subnet_id:
        subnet = backend.get_subnet(subnet_id)  # raises InvalidSubnetID.NotFound
        zone, vpc_id = subnet.availability_zone, subnet.vpc_id
    else:
        zone, vpc_id = kwargs.get("placement"), None
        if not zone:
            zone = next(
                (z for z in offered if capacity.has_capacity(backend, instance_type, z, count, spot=spot)),
                offered[0] if offered else f"{backend.region_name}a",
            )
    if zone not in offered:
        choose = f" or choosing {', '.join(offered)}" if offered else ""
        raise EC2ClientError(
            "Unsupported",
            f"Your requested instance type ({instance_type}) is not supported in your requested Availability "
            f"Zone ({zone}). Please retry your request by not specifying an Availability Zone{choose}.",
        )
    return zone, vpc_id


def _groups(backend: Any, vpc_id: str | None, names: list[str], kwargs: dict[str, Any]) -> list[Any]:
    vpc_id = vpc_id or backend.default_vpc.id
    wanted = [*names, *kwargs.get("security_group_ids", [])]
    for nic in kwargs.get("nics") or []:
        wanted.extend(nic.get("Groups") or [])
    groups = []
    for name in wanted:
        group = name if not isinstance(name, str) else backend.get_security_group_by_name_or_id(name, vpc_id)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(name)
        groups.append(group)
    return groups or [backend.get_default_security_group(vpc_id)]


def plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A copy of RunInstances' arguments for a later launch: moto's code removes items from them."""
    return copy.deepcopy({k: v for k, v in kwargs.items() if k != "security_group_ids"}) | {
        "security_group_ids": [
            g if isinstance(g, str) else g.id for g in kwargs.get("security_group_ids", [])
        ]
    }
