"""Remove resources in one region, in the order that AWS requires. A missing resource is fine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpu_box.aws import deadline
from gpu_box.aws.client import Cloud
from gpu_box.aws.deletion import delete_when_free
from gpu_box.aws.errors import translated
from gpu_box.aws.observe import read_instances
from gpu_box.aws.relaunched import tag_again
from gpu_box.errors import CloudError
from gpu_box.model.leftovers import Leftover
from gpu_box.model.observed import InstanceState
from gpu_box.polling import attempts

# The order matters: a spot request relaunches a terminated instance, an image uses its snapshots, and a group
# is in use until its instances are gone. Each row: kind, EC2's operation, the argument for the id.
_ORDER = (
    ("spot request", "cancel_spot_instance_requests", "SpotInstanceRequestIds"),
    ("instance", "terminate_instances", "InstanceIds"),
    ("volume", "delete_volume", "VolumeId"),
    ("image", "deregister_image", "ImageId"),
    ("snapshot", "delete_snapshot", "SnapshotId"),
    ("address", "release_address", "AllocationId"),
    ("security group", "delete_security_group", "GroupId"),
    ("key pair", "delete_key_pair", "KeyName"),
    ("placement group", "delete_placement_group", "GroupName"),
)
# Time until an instance is gone, and until its disk and network interface are free.
_GONE_S, _LET_GO_S = 900.0, 120.0
_IN_USE = frozenset(
    {"DependencyViolation", "VolumeInUse", "InvalidSnapshot.InUse", "InvalidPlacementGroup.InUse"}
)


def remove_region(cloud: Cloud, leftovers: Sequence[Leftover]) -> None:
    """Raises CloudError for the first resource that AWS does not delete."""
    _tag_again(cloud, {one.id: one.box for one in leftovers if one.kind == "instance" and one.box})
    for kind, operation, argument in _ORDER:
        ids = [one.id for one in leftovers if one.kind == kind]
        for id_ in ids:
            _remove(cloud, operation, {argument: [id_] if argument.endswith("Ids") else id_})
        if kind == "instance" and ids:
            _wait_until_gone(cloud, ids)
    for one in leftovers:
        if one.kind == "schedule":
            deadline.disarm(cloud.elsewhere(cloud.region, box=one.box))
    # The role last: what it stops is gone by then.
    if any(one.kind == "role" for one in leftovers):
        deadline.delete_role(cloud)


def _tag_again(cloud: Cloud, boxes: dict[str, str]) -> None:
    """Tag instances that AWS relaunched: the policy permits terminating only tagged ones."""
    if not boxes:
        return
    for instance in read_instances(cloud, [{"Name": "instance-id", "Values": list(boxes)}]):
        if not instance.tagged and instance.id in boxes:
            tag_again(cloud.elsewhere(cloud.region, box=boxes[instance.id]), instance.id)


def _remove(cloud: Cloud, operation: str, arguments: dict[str, Any]) -> None:
    with translated(f"removing in {cloud.region}"):
        delete_when_free(cloud, operation, in_use=_IN_USE, timeout_s=_LET_GO_S, **arguments)


def _wait_until_gone(cloud: Cloud, instance_ids: list[str]) -> None:
    alive: list[str] = []
    for _ in attempts(_GONE_S, every_s=1.0):
        alive = _alive(cloud, instance_ids)
        if not alive:
            return
    raise CloudError(
        f"{', '.join(alive)} not terminated after {_GONE_S / 60:.0f} minutes",
        where=cloud.region,
        remedy="Run the command again to keep waiting.",
    )


def _alive(cloud: Cloud, instance_ids: list[str]) -> list[str]:
    found = read_instances(cloud, [{"Name": "instance-id", "Values": instance_ids}])
    return [instance.id for instance in found if instance.state is not InstanceState.TERMINATED]
