"""Security groups: which are in use, and which addresses reach SSH."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError, InvalidSecurityGroupDuplicateError

_SSH = 22


def check_name(backend: Any, name: str, vpc_id: str) -> None:
    """Names are unique in a VPC without regard to case (EC2 API, CreateSecurityGroup)."""
    if any(group.name.casefold() == name.casefold() for group in backend.groups[vpc_id].values()):
        raise InvalidSecurityGroupDuplicateError(name)


def check_delete(backend: Any, group: Any) -> None:
    """Raise for a default group, and for one that an interface or another group's rule uses."""
    if group.is_default or group.name == "default":
        raise EC2ClientError(
            "CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
        )
    used = any(group in interface.group_set for interface in backend.enis.values())
    named = any(
        rule.source_group.get("GroupId") == group.id
        for groups in backend.groups.values()
        for other in groups.values()
        if other is not group
        for rule in (*other.ingress_rules, *other.egress_rules)
    )
    if used or named:
        raise DependencyViolationError(f"resource {group.id} has a dependent object")


def admits(instance: Any, address: str) -> bool:
    """Whether the instance's groups let the peer at `address` reach port 22."""
    peer = ip_address(address)
    groups = {group for nic in instance.nics.values() for group in nic.group_set}
    return any(
        _covers_ssh(rule) and peer in ip_network(rule.ip_range.get("CidrIp") or "::/128", strict=False)
        for group in groups
        for rule in group.ingress_rules
    )


def _covers_ssh(rule: Any) -> bool:
    if rule.ip_protocol == "-1":
        return True
    return bool(rule.ip_protocol == "tcp" and rule.from_port <= _SSH <= rule.to_port)
