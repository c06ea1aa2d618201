"""A box's security group: gpu-box's own rules, and those that were added by hand.

gpu-box's rules open port 22 to one address each and have its description. Other rules are the user's; they
are neither changed nor relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

from gpu_box.aws import tags
from gpu_box.model.observed import Cidr, SecurityGroup

OURS = "gpu-box: the address of its owner"
# The lists of sources in a permission, and the key of each (EC2 API, IpPermission).
_SOURCES = {
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
    "UserIdGroupPairs": "GroupId",
}


def parse(raw: dict[str, Any]) -> SecurityGroup:
    ours: list[Cidr] = []
    theirs: list[Cidr] = []
    for permission, _, key, source in _rules(raw):
        if _is_ssh(permission) and key.startswith("Cidr"):
            with suppress(ValueError):  # no address: `foreign` shows it
                network = ip_network(source[key], strict=False)
                (ours if _is_ours(permission, source) else theirs).append(network)
    values = tags.tag_map(raw)
    return SecurityGroup(
        id=raw["GroupId"],
        generation=values.get(tags.GENERATION, ""),
        owner=tags.owner_of(values),
        ssh_from=frozenset(ours),
        ssh_from_foreign=frozenset(theirs),
        foreign=tuple(sorted(line for _, line in foreign_rules(raw))),
    )


def foreign_rules(raw: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The rules that are not gpu-box's: in the form of RevokeSecurityGroupIngress, and in words."""
    for permission, sources, key, source in _rules(raw):
        if not _is_ours(permission, source):
            ports = {
                name: permission[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in permission
            }
            said = f" ({source['Description']})" if source.get("Description") else ""
            yield ports | {sources: [source]}, f"{_ports(permission)} from {source.get(key, '?')}{said}"


def ssh_permission(cidrs: Sequence[Cidr]) -> list[dict[str, Any]]:
    rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    v4 = [{"CidrIp": str(c), "Description": OURS} for c in cidrs if c.version == 4]
    v6 = [{"CidrIpv6": str(c), "Description": OURS} for c in cidrs if c.version == 6]
    return [rule | ({"IpRanges": v4} if v4 else {}) | ({"Ipv6Ranges": v6} if v6 else {})]


def _rules(raw: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str, dict[str, Any]]]:
    """(permission, list name, source key, source), for each source."""
    for permission in raw["IpPermissions"]:
        for sources, key in _SOURCES.items():
            for source in permission.get(sources, []):
                yield permission, sources, key, source


def _is_ssh(permission: dict[str, Any]) -> bool:
    ports = (permission.get("IpProtocol"), permission.get("FromPort"), permission.get("ToPort"))
    return ports == ("tcp", 22, 22)


def _is_ours(permission: dict[str, Any], source: dict[str, Any]) -> bool:
    return _is_ssh(permission) and source.get("Description") == OURS


def _ports(permission: dict[str, Any]) -> str:
    protocol, first, last = (permission.get(key) for key in ("IpProtocol", "FromPort", "ToPort"))
    if protocol == "-1":
        return "everything"
    return f"{protocol} {first}" if first == last else f"{protocol} {first}-{last}"
