"""Rows for reads, and for what other services' models leave open."""

from __future__ import annotations

from local_aws.ec2 import catalogue
from local_aws.parameters import values
from local_aws.parameters.row import BAD, COMBINATION, HUB, OWN_WORDS, VALUE, Row, at_most, like, not_both

# Which list of ids MaxResults excludes, and that list's name in AWS's message.
_PAGED = (
    ("DescribeInstances", "InstanceIds", "instancesSet", HUB + "mulgadc/spinifex"),
    ("DescribeVolumes", "VolumeIds", "volumeSet", HUB + "aws/aws-cli/issues/2452"),
    ("DescribeSnapshots", "SnapshotIds", "snapshotSet", HUB + "aws/aws-sdk-ruby (its resources of EC2)"),
    ("DescribeImages", "ImageIds", "imageIdsSet", HUB + "aws/aws-sdk-ruby (its resources of EC2)"),
)
# Captured from AWS by github.com/mulgadc/spinifex. Each operation has its own message and code;
# DescribeInstances accepts more than 1,000.
_TYPES_PAGE = (
    "Value ( {value} ) for parameter maxResults is invalid. Expecting a value from ( 5 ) to  ( %s )."
)
_FILTERED = (
    "DescribeAddresses", "DescribeAvailabilityZones", "DescribeImages", "DescribeInstanceStatus",
    "DescribeInstanceTypeOfferings", "DescribeInstanceTypes", "DescribeInstances", "DescribeInternetGateways",
    "DescribeKeyPairs", "DescribeNetworkInterfaces", "DescribePlacementGroups", "DescribeRegions",
    "DescribeRouteTables", "DescribeSecurityGroupRules", "DescribeSecurityGroups", "DescribeSnapshots",
    "DescribeSpotInstanceRequests", "DescribeSpotPriceHistory", "DescribeSubnets", "DescribeTags",
    "DescribeVolumes", "DescribeVolumesModifications", "DescribeVpcs",
)  # fmt: skip
READS = (
    *(Row(where=f"{operation}:", takes=not_both("MaxResults", ids), code=COMBINATION,
          covers=f"{operation}:MaxResults", source=source,
          says=f"The parameter {shown} cannot be used with the parameter maxResults")
      for operation, ids, shown, source in _PAGED),
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
    Row(where="Describe.*:Filters", code="FilterLimitExceeded", takes=at_most(50),
        says="The maximum number of filters specified on a single call is 50", source=OWN_WORDS),
    Row(where="Describe.*:Filters", code="FilterLimitExceeded",
        takes=lambda filters: sum(len(one.get("Values", [])) for one in filters) <= 200,
        says="The maximum number of filter values specified on a single call is 200",
        source=HUB + "gjbae1212/gossm/issues/47"),
    Row(where="Describe.*:Filters.N.Values.N", takes=at_most(255), code="FilterLimitExceeded",
        says="The maximum length for a filter value is 255 characters",
        source=HUB + "ansible-collections/amazon.aws/issues/2393"),
    # A filter without values is taken, and finds nothing: getmoto/moto#8570.
    Row(where="Describe.*:Filters.N", takes=lambda one: "Name" in one, code=VALUE,
        says="The filter 'null' is invalid", source=HUB + "kubernetes/kubernetes/pull/22788"),
    *(Row(where=f"{operation}:Filters.N.Name", takes=values.is_filter(operation), code=VALUE,
          says="The filter '{value}' is invalid", source=HUB + "boto/boto3/issues/1299")
      for operation in _FILTERED),
    Row(where="DescribeSpotPriceHistory:ProductDescriptions.N", code=VALUE, source=OWN_WORDS, says=BAD,
        takes=like(r"(Linux/UNIX|Red Hat Enterprise Linux|SUSE Linux|Windows)( \(Amazon VPC\))?")),
    Row(where="DescribeSpotPriceHistory:", takes=not_both("AvailabilityZone", "AvailabilityZoneId"),
        code=COMBINATION, says="The parameters availabilityZone and availabilityZoneId exclude each other",
        covers="DescribeSpotPriceHistory:AvailabilityZone(Id)?", source=OWN_WORDS,
        doc="Either AvailabilityZone or AvailabilityZoneId can be specified, but not both"),
    Row(where="GetProducts:ServiceCode", takes=bool, code="InvalidParameterException",
        says="Input Parameters are invalid. serviceCode cannot be null or empty",
        source=HUB + "aws/aws-sdk-js/issues/3329"),
)  # fmt: skip

_WINDOW = "(Create|Update)Schedule:FlexibleTimeWindow"
_MINUTES = "MaximumWindowInMinutes"
_OF_WINDOWS = "AWS's words, as in rules that check CloudFormation's templates and in wata727/elastic_whenever"
POLICIES = (
    Row(where="CreateRole:AssumeRolePolicyDocument", takes=values.is_json, code="MalformedPolicyDocument",
        says="This policy contains invalid Json", source="recorded: CreateRole"),
    Row(where="(Create|Update)Schedule:Target.Input", takes=values.is_json, code="ValidationException",
        says="Target Input must be well-formed JSON", source=OWN_WORDS),
    Row(where=_WINDOW, takes=lambda window: window.get("Mode") != "FLEXIBLE" or _MINUTES in window,
        code="ValidationException", source=_OF_WINDOWS, covers=f"{_WINDOW}.{_MINUTES}",
        says=f"{_MINUTES} must be provided when FlexibleTimeWindowMode is set to FLEXIBLE"),
    Row(where=_WINDOW, takes=lambda window: window.get("Mode") != "OFF" or _MINUTES not in window,
        code="ValidationException", source=_OF_WINDOWS, covers=f"{_WINDOW}.{_MINUTES}",
        says=f"{_MINUTES} must not be provided when FlexibleTimeWindowMode is set to OFF"),
)  # fmt: skip
