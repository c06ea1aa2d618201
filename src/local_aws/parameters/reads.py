"""Rows for security group rules, for reads, and for what other services' models leave open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_aws.ec2 import catalogue
from local_aws.parameters import values
from local_aws.parameters.row import BAD, COMBINATION, HUB, OWN_WORDS, VALUE, Row, at_most, like


def _has_ports(rule: Any) -> bool:
    by_port = rule.get("IpProtocol") in ("tcp", "udp", "6", "17")
    return not by_port or ("FromPort" in rule and "ToPort" in rule)


_RULE = ".*SecurityGroupIngress:IpPermissions.N"
RULES = (
    Row(where=_RULE, takes=lambda rule: bool(rule.get("IpProtocol")), code=VALUE,
        says="Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
        source="recorded: ModifySecurityGroupRules", covers=_RULE + ".IpProtocol"),
    Row(where=_RULE + ".IpProtocol", takes=like("tcp|udp|icmp|icmpv6|-1|[0-9]{1,3}"), code=VALUE,
        says="Invalid value '{value}' for IP protocol. Unknown protocol.", source=OWN_WORDS,
        doc="The IP protocol name (tcp, udp, icmp, icmpv6) or number"),
    Row(where=_RULE, takes=_has_ports, code=VALUE,
        says="Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
        doc="For tcp, udp, and icmp, you must specify a port range.",
        source="recorded: ModifySecurityGroupRules", covers=_RULE + ".(IpProtocol|FromPort|ToPort)"),
    Row(where=_RULE + ".(From|To)Port", takes=lambda port: -1 <= port <= 65_535, code=VALUE,
        says="Invalid value '{value}' for portRange. Must be from 0 to 65535.", source=OWN_WORDS),
    Row(where=_RULE + ".Ip(v6)?Ranges.N.CidrIp(v6)?", takes=values.is_network, code=VALUE,
        says="CIDR block {value} is malformed", source=HUB + "aws/aws-cli/issues/2428"),
)  # fmt: skip


def _unknown_filter(operation: str) -> Callable[[Any], bool]:
    return lambda name: str(name).partition(":")[0] in values.filters(operation)


def _asks_one_way(given: Any) -> bool:
    return not ("MaxResults" in given and given.get("InstanceIds"))


# Captured from AWS by github.com/mulgadc/spinifex. Each operation has its own message and code;
# DescribeInstances accepts more than 1,000.
_TYPES_PAGE = (
    "Value ( {value} ) for parameter maxResults is invalid. Expecting a value from ( 5 ) to  ( %s )."
)
_FILTERED = (
    "DescribeAddresses", "DescribeImages", "DescribeInstanceTypeOfferings", "DescribeInstanceTypes",
    "DescribeInstances", "DescribeKeyPairs", "DescribePlacementGroups", "DescribeRegions",
    "DescribeRouteTables", "DescribeSecurityGroups", "DescribeSnapshots", "DescribeSpotInstanceRequests",
    "DescribeSubnets", "DescribeVolumes", "DescribeVolumesModifications",
)  # fmt: skip
READS = (
    Row(where="DescribeInstances:", takes=_asks_one_way, code=COMBINATION,
        covers="DescribeInstances:MaxResults",
        says="The parameter instancesSet cannot be used with the parameter maxResults",
        doc="You cannot specify this parameter and the instance IDs parameter in the same request.",
        source=HUB + "mulgadc/spinifex"),
    Row(where="Describe(Images|Instances|Volumes|Snapshots|SpotInstanceRequests|Subnets|SecurityGroups)"
        ":MaxResults",
        takes=lambda most: most >= 5, code=VALUE, source=HUB + "aws/aws-sdk-ruby/pull/2575",
        says="Value ( {value} ) for parameter maxResults is invalid. Expecting a value greater than 5."),
    Row(where="DescribeInstanceTypes:MaxResults", takes=lambda most: 5 <= most <= 100,
        code="InvalidMaxResults", says=_TYPES_PAGE % 100, source=HUB + "mulgadc/spinifex"),
    Row(where="DescribeInstanceTypeOfferings:MaxResults", takes=lambda most: 5 <= most <= 1000,
        code="InvalidMaxResults", says=_TYPES_PAGE % 1000, source=HUB + "mulgadc/spinifex"),
    Row(where="DescribeInstanceTypes:InstanceTypes", code="InvalidInstanceType",
        takes=lambda types: all(map(catalogue.exists, types)), covers="DescribeInstanceTypes:InstanceTypes.N",
        says=lambda types: "The following supplied instance types do not exist: "
        f"[{', '.join(one for one in types if not catalogue.exists(one))}]",
        source=HUB + "scylladb/scylla-cluster-tests/issues/12419"),
    Row(where="Describe.*:Filters", code="FilterLimitExceeded",
        takes=lambda filters: sum(len(one.get("Values", [])) for one in filters) <= 200,
        says="The maximum number of filter values specified on a single call is 200",
        source=HUB + "gjbae1212/gossm/issues/47"),
    Row(where="Describe.*:Filters.N.Values.N", takes=at_most(255), code="FilterLimitExceeded",
        says="The maximum length for a filter value is 255 characters",
        source=HUB + "ansible-collections/amazon.aws/issues/2393"),
    *(Row(where=f"{operation}:Filters.N.Name", takes=_unknown_filter(operation), code=VALUE,
          says="The filter '{value}' is invalid", source=HUB + "boto/boto3/issues/1299")
      for operation in _FILTERED),
    Row(where="DescribeSpotPriceHistory:ProductDescriptions.N", code=VALUE, source=OWN_WORDS, says=BAD,
        takes=like(r"(Linux/UNIX|Red Hat Enterprise Linux|SUSE Linux|Windows)( \(Amazon VPC\))?")),
    Row(where="GetProducts:ServiceCode", takes=bool, code="InvalidParameterException",
        says="Input Parameters are invalid. serviceCode cannot be null or empty",
        source=HUB + "aws/aws-sdk-js/issues/3329"),
)  # fmt: skip

POLICIES = (
    Row(where="CreateRole:AssumeRolePolicyDocument", takes=values.is_json, code="MalformedPolicyDocument",
        says="This policy contains invalid Json", source="recorded: CreateRole"),
    Row(where="(Create|Update)Schedule:Target.Input", takes=values.is_json, code="ValidationException",
        says="Target Input must be well-formed JSON", source=OWN_WORDS),
)  # fmt: skip
