"""What gpu-box calls and tags what it makes: the names by which any laptop finds it again."""

from __future__ import annotations

import getpass
from typing import Any

from gpu_box import __version__
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.config.model import Config

NAME, OWNER, VERSION = "gpu-box:name", "gpu-box:owner", "gpu-box:version"
# What the box has cost in earlier sessions, a tag a month, and up to which session (gpu_box.model.spending).
USD_MONTH, COUNTED = "gpu-box:usd-", "gpu-box:counted"
GUESSED = "gpu-box:guessed"  # "FROM UNTIL USD_HOUR": a counted session whose end is a guess; "": none
RESIZING = "gpu-box:resizing"  # the type to come: whoever finishes this resize starts the box again
EXTENDING = "gpu-box:extending"  # "FROM TO": whoever goes on with an `extend` that was cut does not add to it
STOP = "gpu-box:stop"  # "2026-11-23T14:02:11+00:00 ada": our own command asked for the stop
DISK = "gpu-box:disk-gib"  # of the root volume: what no instance tells of itself
BAKING = "gpu-box:baking"  # "yes": it ran when it was stopped to be baked: whoever finishes starts it again
# On an image: baked or moving; and of what (image_plan.content). On an instance: the image it came by.
IMAGE, IMAGE_OF, MOVED_FROM = "gpu-box:image", "gpu-box:image-of", "gpu-box:moved-from"
LIMITS = "gpu-box:limits"  # those that it runs with (gpu_box.plan.limits)
KEY = "gpu-box:key"  # fingerprint of the public key with which the machine is entered
GENERATION, HOST_KEY, SSH_PORT = "gpu-box:generation", "gpu-box:host-key", "gpu-box:ssh-port"


def resource_name(config: Config) -> str:
    """Of the key pair, the group and the schedule."""
    return f"gpu-box-{config.name}"


def cluster_name(config: Config) -> str:
    """Of the placement group and the security group that its members share."""
    return f"gpu-box-{of_cluster(config)}"


def of_cluster(config: Config) -> str:
    """What they carry in place of a box's name; no box has a dot in its own."""
    return f"{config.cluster}.cluster"


ROLE = "gpu-box-deadline-"  # and the region: IAM is global


def role_name(region: str) -> str:
    """The deadlines' role, shared by a region's boxes: an account may have 1,000 roles (IAM quotas)."""
    return ROLE + region


def owner(config: Config) -> str:
    return config.owner or getpass.getuser()


def owner_tag(config: Config) -> str:
    """The value of the tag: the owner's name, as far as EC2 takes it."""
    return tag_value(owner(config))


def tags(config: Config, **more: str) -> list[dict[str, str]]:
    """AWS's list form. `Name` is what the console shows."""
    return _tags(config, resource_name(config), config.name, more)


def _tags(config: Config, shown: str, name: str, more: dict[str, str]) -> list[dict[str, str]]:
    own = {"Name": shown, NAME: name, OWNER: owner(config), VERSION: __version__, **more}
    return as_list({key: tag_value(value) for key, value in own.items()})


def role_tags(region: str) -> list[dict[str, str]]:
    """The tags of the deadlines' role. It belongs to no box and to no owner."""
    return as_list({"Name": role_name(region), VERSION: __version__})


def tag_value(text: str) -> str:
    """A value that EC2 takes, as near to `text` as can be: 256 printable characters at most."""
    return "".join(sign for sign in text if sign.isprintable())[:256]


def tag_specification(resource_type: str, config: Config, **more: str) -> dict[str, Any]:
    return {"ResourceType": resource_type, "Tags": tags(config, **more)}


def cluster_tag_specification(resource_type: str, config: Config) -> dict[str, Any]:
    """For a resource that the members of config's cluster share."""
    shared = _tags(config, cluster_name(config), of_cluster(config), {})
    return {"ResourceType": resource_type, "Tags": shared}


def of_box(config: Config) -> list[dict[str, Any]]:
    """The filter that finds everything of this box."""
    return named(config.name)


def named(name: str) -> list[dict[str, Any]]:
    """The filter that finds everything of a box, or of a cluster (`of_cluster`)."""
    return [{"Name": f"tag:{NAME}", "Values": [name]}]


def tag_map(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in resource.get("Tags", [])}


def tag_host_key(cloud: Cloud, instance_id: str, value: str) -> None:
    """Publish the machine's host key where every laptop with the account's credentials can read it."""
    tag_instance(cloud, instance_id, {HOST_KEY: value}, "noting the machine's host key")


def tag_instance(cloud: Cloud, instance_id: str, values: dict[str, str], doing: str) -> None:
    """Write tags on an instance. doing: for the error message. Raises CloudError."""
    with translated(doing):
        cloud.ec2.create_tags(Resources=[instance_id], Tags=as_list(values))


def as_list(values: dict[str, str]) -> list[dict[str, str]]:
    """AWS's list form of tags."""
    return [{"Key": key, "Value": value} for key, value in values.items()]
