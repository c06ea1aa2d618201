"""Names and tags of gpu-box's resources, by which any laptop finds them."""

from __future__ import annotations

import getpass
from typing import Any

from gpu_box import __version__
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.config.model import Config

NAME, OWNER, VERSION = "gpu-box:name", "gpu-box:owner", "gpu-box:version"
# Costs of earlier sessions, a tag per month, and the last session included (gpu_box.model.spending).
USD_MONTH, COUNTED = "gpu-box:usd-", "gpu-box:counted"
GUESSED = "gpu-box:guessed"  # "FROM UNTIL USD_HOUR": a counted session whose end is a guess; "": none
RESIZING = "gpu-box:resizing"  # the new type; an interrupted resize starts the box again
EXTENDING = "gpu-box:extending"  # "FROM TO": repeating an interrupted `extend` does not add to it
STOP = "gpu-box:stop"  # "2026-11-23T14:02:11+00:00 ada": the last request by `gpu-box stop`
DISK = "gpu-box:disk-gib"  # of the root volume, which an instance's description lacks
BAKING = "gpu-box:baking"  # "yes": it ran before it was stopped for `bake`, and must be started again
# On an image: baked or moving, and its content (plan.images.content). On an instance: the image it came from.
IMAGE, IMAGE_OF, MOVED_FROM = "gpu-box:image", "gpu-box:image-of", "gpu-box:moved-from"
LIMITS = "gpu-box:limits"  # the limits it runs with (gpu_box.plan.limits)
KEY = "gpu-box:key"  # fingerprint of the authorized public key
GENERATION, HOST_KEY, SSH_PORT = "gpu-box:generation", "gpu-box:host-key", "gpu-box:ssh-port"


def resource_name(config: Config) -> str:
    """The name of the key pair, the security group and the schedule."""
    return f"gpu-box-{config.name}"


def cluster_name(config: Config) -> str:
    """The name of the members' shared placement group and security group."""
    return f"gpu-box-{of_cluster(config)}"


def of_cluster(config: Config) -> str:
    """The value of the name tag instead of a box's name; a box's name has no dot."""
    return f"{config.cluster}.cluster"


ROLE = "gpu-box-deadline-"  # followed by the region, because IAM is global


def role_name(region: str) -> str:
    """The deadlines' role, shared by a region's boxes, because an account has 1,000 roles (IAM quotas)."""
    return ROLE + region


def owner(config: Config) -> str:
    return config.owner or getpass.getuser()


def owner_tag(config: Config) -> str:
    """The value of the tag: the owner's name with the characters that AWS accepts."""
    return _fit(owner(config))


def owner_of(values: dict[str, str]) -> str:
    """Whose a resource with these tags is, as `owner_tag` writes it; "" if no tag says."""
    return _fit(values.get(OWNER, ""))


def _fit(name: str) -> str:
    """A login name such as `CORP\\ada` or `o'brien` with a hyphen for what not every service accepts.

    "The allowed characters across services are: letters, numbers, and spaces representable in UTF-8, and the
    following characters: + - = . _ : / @." (EC2 User Guide, "Tag your Amazon EC2 resources")
    """
    return "".join(sign if sign.isalnum() or sign in " +-=._:/@" else "-" for sign in name)[:256]


def tags(config: Config, **more: str) -> list[dict[str, str]]:
    """AWS's list form. The console shows `Name`."""
    return _tags(config, resource_name(config), config.name, more)


def _tags(config: Config, shown: str, name: str, more: dict[str, str]) -> list[dict[str, str]]:
    own = {"Name": shown, NAME: name, OWNER: owner_tag(config), VERSION: __version__, **more}
    own |= dict(config.aws.tags)
    return as_list({key: tag_value(value) for key, value in own.items()})


def role_tags(config: Config, region: str) -> list[dict[str, str]]:
    """The tags of the deadlines' role, which belongs to no box and no owner."""
    return as_list({"Name": role_name(region), VERSION: __version__, **dict(config.aws.tags)})


def tag_value(text: str) -> str:
    """The nearest valid tag value: at most 256 printable characters."""
    return "".join(sign for sign in text if sign.isprintable())[:256]


def tag_specification(resource_type: str, config: Config, **more: str) -> dict[str, Any]:
    return {"ResourceType": resource_type, "Tags": tags(config, **more)}


def rule_tags(config: Config) -> dict[str, Any]:
    """Arguments for AuthorizeSecurityGroupIngress that tag the rules, if the config has tags of its own."""
    if not config.aws.tags:
        return {}
    return {"TagSpecifications": [tag_specification("security-group-rule", config)]}


def cluster_tag_specification(resource_type: str, config: Config) -> dict[str, Any]:
    """For a resource that the members of a cluster share."""
    shared = _tags(config, cluster_name(config), of_cluster(config), {})
    return {"ResourceType": resource_type, "Tags": shared}


def of_box(config: Config) -> list[dict[str, Any]]:
    """The filter for all resources of this box."""
    return named(config.name)


def named(name: str) -> list[dict[str, Any]]:
    """The filter for all resources of a box or a cluster (`of_cluster`)."""
    return [{"Name": f"tag:{NAME}", "Values": [name]}]


def tag_map(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in resource.get("Tags", [])}


def tag_host_key(cloud: Cloud, instance_id: str, value: str) -> None:
    """Publish the machine's host key for every laptop with the account's credentials."""
    tag_instance(cloud, instance_id, {HOST_KEY: value}, "recording the machine's host key")


def tag_instance(cloud: Cloud, instance_id: str, values: dict[str, str], doing: str) -> None:
    """Write tags on an instance. doing: for the error message. Raises CloudError."""
    with translated(doing):
        cloud.ec2.create_tags(Resources=[instance_id], Tags=as_list(values))


def as_list(values: dict[str, str]) -> list[dict[str, str]]:
    """AWS's list form of tags."""
    return [{"Key": key, "Value": value} for key, value in values.items()]
