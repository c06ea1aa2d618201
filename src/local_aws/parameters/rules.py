"""Rows for the rules of security groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_aws.parameters import values
from local_aws.parameters.row import HUB, OWN_WORDS, VALUE, Row, like

_BY_PORT = ("tcp", "udp", "6", "17")
_ICMP = ("icmp", "1")
_BY_TYPE = (*_ICMP, "icmpv6", "58")
_NUMBER = "[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]"
_SOURCES = {
    "IpRanges": ("CidrIp",),
    "Ipv6Ranges": ("CidrIpv6",),
    "PrefixListIds": ("PrefixListId",),
    "UserIdGroupPairs": ("GroupId", "GroupName"),
}


def _for(protocols: tuple[str, ...], holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether it holds of a rule, if the rule is for one of these protocols."""
    return lambda rule: rule.get("IpProtocol") not in protocols or holds(rule)


def _has_both_ends(rule: Any) -> bool:
    return "FromPort" in rule and "ToPort" in rule


def _outside(rule: Any, least: int, most: int) -> str:
    """The first end of the range that is outside; "" if none is."""
    return next((end for end in ("FromPort", "ToPort") if not least <= rule.get(end, least) <= most), "")


def _in_order(rule: Any) -> bool:
    return not _has_both_ends(rule) or bool(rule["FromPort"] <= rule["ToPort"])


def _all_codes_of_all_types(rule: Any) -> bool:
    return bool(rule.get("FromPort") != -1 or rule.get("ToPort") == -1)


def _port_outside(rule: Any) -> str:
    end = _outside(rule, 0, 65_535)
    return f"TCP/UDP ({'from' if end == 'FromPort' else 'to'}) port ({rule[end]}) out of range"


def _type_outside(rule: Any) -> str:
    end = _outside(rule, -1, 255)
    return f"ICMP {'type' if end == 'FromPort' else 'code'} ({rule[end]}) out of range"


def _has_a_source(rule: Any) -> bool:
    return any(
        one.get(name) for kind, names in _SOURCES.items() for one in rule.get(kind, ()) for name in names
    )


_RULE = ".*SecurityGroup(Ingress|Egress):IpPermissions.N"
_PORTS = _RULE + ".(IpProtocol|FromPort|ToPort)"
_HALF = "Invalid value for portRange. Must specify both from and to ports with {}."
RULES = (
    Row(where=_RULE, takes=lambda rule: bool(rule.get("IpProtocol")), code=VALUE,
        says="Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
        source="recorded: ModifySecurityGroupRules", covers=_RULE + ".IpProtocol"),
    Row(where=_RULE + ".IpProtocol", takes=like(f"tcp|udp|icmp|icmpv6|-1|{_NUMBER}"), code=VALUE,
        says="Invalid value '{value}' for IP protocol. Unknown protocol.",
        doc="The IP protocol name (tcp, udp, icmp, icmpv6) or number",
        source=HUB + "hashicorp/terraform-provider-aws/issues/1793"),
    Row(where=_RULE, takes=_for(_BY_PORT, _has_both_ends), code=VALUE, says=_HALF.format("TCP/UDP"),
        doc="For tcp, udp, and icmp, you must specify a port range.",
        source="recorded: ModifySecurityGroupRules", covers=_PORTS),
    Row(where=_RULE, takes=_for(_BY_PORT, lambda rule: not _outside(rule, 0, 65_535)), code=VALUE,
        says=_port_outside, source=HUB + "aws/aws-cli/issues/1066", covers=_PORTS),
    Row(where=_RULE, takes=_for(_BY_PORT, _in_order), code=VALUE, covers=_PORTS,
        says=lambda rule: f"Invalid TCP/UDP port range ({rule['FromPort']}:{rule['ToPort']})",
        source="as in two imitations of EC2: eucalyptus and openstack/ec2-api"),
    Row(where=_RULE, takes=_for(_ICMP, _has_both_ends), code=VALUE, says=_HALF.format("ICMP"),
        doc="For tcp, udp, and icmp, you must specify a port range.",
        source=HUB + "aws-cloudformation/cfn-lint/issues/2999", covers=_PORTS),
    Row(where=_RULE, takes=_for(_BY_TYPE, lambda rule: not _outside(rule, -1, 255)), code=VALUE,
        says=_type_outside, source=HUB + "hashicorp/terraform/issues/13015", covers=_PORTS),
    Row(where=_RULE, takes=_for(_BY_TYPE, _all_codes_of_all_types), code=VALUE,
        says=lambda rule: f"ICMP code ({rule.get('ToPort')}) must be -1 with ICMP type (-1)",
        doc="If the start port is -1 (all ICMP types), then the end port must be -1 (all ICMP codes).",
        source=OWN_WORDS, covers=_PORTS),
    Row(where="AuthorizeSecurityGroup(Ingress|Egress):IpPermissions.N", takes=_has_a_source,
        code="MissingParameter",
        says="Missing source specification: include source security group or CIDR information",
        source=HUB + "crossplane-contrib/provider-aws/issues/1496"),
    *(Row(where=_RULE + path, takes=values.is_network(version), code=VALUE,
          says="CIDR block {value} is malformed", source=HUB + "hashicorp/terraform/issues/14382")
      for version, path in ((4, ".IpRanges.N.CidrIp"), (6, ".Ipv6Ranges.N.CidrIpv6"))),
)  # fmt: skip
