"""Shared AWS resources of a cluster: a placement group, and a security group for TCP among its members.

Both are tagged with the cluster's name, `NAME.cluster`, which no box can have.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import made, tags
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.deletion import delete_when_free
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.launch_options import read_launchable
from gpu_box.errors import CloudError
from gpu_box.model.progress import Reporter
from gpu_box.polling import attempts

_STEP = "cluster"
# Time until a terminated instance's network interface has left the group.
_IN_USE_S = 120.0
_IN_USE = frozenset({"DependencyViolation", "InvalidPlacementGroup.InUse"})


def make_cluster(cloud: Cloud, report: Reporter) -> None:
    """Create both if missing. cloud: any member's. Safe to run again and in parallel. Raises CloudError."""
    report.start(_STEP, "cluster: reading its placement group")
    group_id, placed = read_cluster(cloud)
    if group_id is None:
        report.update(_STEP, "cluster: creating its security group")
        group_id = _make_group(cloud, read_launchable(cloud).vpc_id)
    _let_members_talk(cloud, group_id)
    if not placed:
        report.update(_STEP, "cluster: creating its placement group")
        _make_placement_group(cloud)
    report.done(_STEP, "cluster: members are placed close together, and only they reach each other")


def read_cluster(cloud: Cloud) -> tuple[str | None, bool]:
    """The security group's id or None, and whether there is a placement group."""
    tagged = tags.named(tags.of_cluster(cloud.config))

    def groups() -> list[dict[str, Any]]:
        with translated("reading the cluster's security group"):
            found: list[dict[str, Any]] = cloud.ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]
        return found

    def placement_groups() -> list[dict[str, Any]]:
        with translated("reading the cluster's placement group"):
            found: list[dict[str, Any]] = cloud.ec2.describe_placement_groups(Filters=tagged)[
                "PlacementGroups"
            ]
        return [group for group in found if group["State"] in ("pending", "available")]

    found, placed = side_by_side(groups, placement_groups)
    return (found[0]["GroupId"] if found else None), bool(placed)


def remove_cluster(cloud: Cloud, report: Reporter) -> bool:
    """Remove both, unless a member still uses them; then return False. Raises CloudError."""
    group_id, placed = read_cluster(cloud)
    if placed and not _deleted(cloud, "delete_placement_group", GroupName=tags.cluster_name(cloud.config)):
        return False
    if group_id and not _deleted(cloud, "delete_security_group", GroupId=group_id):
        return False
    if placed or group_id:
        report.note("cluster: its placement group and security group are removed")
    return True


def _make_group(cloud: Cloud, vpc_id: str) -> str:
    config, ec2 = cloud.config, cloud.ec2
    with translated("making the cluster's security group"):
        try:
            group: str = ec2.create_security_group(
                GroupName=tags.cluster_name(config),
                Description=f"gpu-box {config.cluster}: its members among themselves",
                VpcId=vpc_id,
                TagSpecifications=[tags.cluster_tag_specification("security-group", config)],
            )["GroupId"]
            return group
        except ClientError as error:
            if code_of(error) != "InvalidGroup.Duplicate":
                raise
    for _ in attempts(made.NOT_YET_S, every_s=1.0):  # another `up` was first, and AWS may show it late
        group_id, _placed = read_cluster(cloud)
        if group_id is not None:
            return group_id
    raise CloudError(
        f"there is a security group {tags.cluster_name(config)!r} that gpu-box did not create",
        remedy="Delete it, or give the box another name.",
    )


def _let_members_talk(cloud: Cloud, group_id: str) -> None:
    """All TCP ports, from members only, because torch.distributed chooses ports itself."""
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 0,
        "ToPort": 65535,
        "UserIdGroupPairs": [{"GroupId": group_id, "Description": "members of this cluster"}],
    }
    with translated("letting the cluster's members reach each other"):
        try:
            cloud.ec2.authorize_security_group_ingress(
                GroupId=group_id, IpPermissions=[rule], **tags.rule_tags(cloud.config)
            )
        except ClientError as error:
            if code_of(error) != "InvalidPermission.Duplicate":
                raise


def _make_placement_group(cloud: Cloud) -> None:
    with translated("making the cluster's placement group"):
        try:
            cloud.ec2.create_placement_group(
                GroupName=tags.cluster_name(cloud.config),
                Strategy="cluster",
                TagSpecifications=[tags.cluster_tag_specification("placement-group", cloud.config)],
            )
        except ClientError as error:
            if code_of(error) != "InvalidPlacementGroup.Duplicate":
                raise


def _deleted(cloud: Cloud, operation: str, **arguments: str) -> bool:
    """Whether it is deleted; False if a member still uses it after two minutes."""
    with translated("removing what the cluster's members share"):
        try:
            delete_when_free(cloud, operation, in_use=_IN_USE, timeout_s=_IN_USE_S, **arguments)
        except ClientError as error:
            if code_of(error) in _IN_USE:
                return False
            raise
    return True
