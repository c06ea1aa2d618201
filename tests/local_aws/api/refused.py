"""An invalid request for each row of local_aws.parameters, with AWS's answer.

Messages equal those of the recording or report that the row names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VALUE, COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"
INSTANCE, GROUP, VOLUME = "i-" + "0" * 17, "sg-" + "0" * 17, "vol-" + "0" * 17
SIX = [f"sg-{n:017x}" for n in range(6)]
KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
RFC4716 = b"---- BEGIN SSH2 PUBLIC KEY ----\n%b\n---- END SSH2 PUBLIC KEY ----" % KEY.split()[1]
ADDRESS = {"CidrIp": "192.0.2.1/32"}
TRUST = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
# A valid request; each case changes one thing.
GOOD: dict[str, dict[str, Any]] = {
    "RunInstances": {"InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1},
    "CreateSecurityGroup": {"GroupName": "box", "Description": "box"},
    "ImportKeyPair": {"KeyName": "box", "PublicKeyMaterial": KEY},
    "CreatePlacementGroup": {"GroupName": "box", "Strategy": "cluster"},
    "CreateImage": {"InstanceId": INSTANCE, "Name": "disk"},
    "CreateTags": {"Resources": [INSTANCE], "Tags": [{"Key": "k", "Value": "v"}]},
    "AuthorizeSecurityGroupIngress": {"GroupId": GROUP},
    "ModifyInstanceAttribute": {"InstanceId": INSTANCE},
    "DescribeInstanceTypeOfferings": {"LocationType": "availability-zone"},
    "GetProducts": {"ServiceCode": "AmazonEC2"},
    "CreateSchedule": {
        "Name": "s",
        "ScheduleExpression": "at(2036-01-01T00:00:00)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
    },
    "CreateRole": {"RoleName": "r", "AssumeRolePolicyDocument": json.dumps({"Statement": [TRUST]})},
}


@dataclass(frozen=True)
class Case:
    operation: str
    changes: dict[str, Any]
    code: str
    message: str
    service: str = "ec2"

    @property
    def request(self) -> dict[str, Any]:
        return {**GOOD.get(self.operation, {}), **self.changes}


def launch(code: str, message: str, **changes: Any) -> Case:
    return Case("RunInstances", changes, code, message)


def disk(code: str, message: str, **ebs: Any) -> Case:
    mapping = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 100, "VolumeType": "gp3", **ebs}}
    return launch(code, message, BlockDeviceMappings=[mapping])


def rule(message: str, *, code: str = VALUE, **changes: Any) -> Case:
    wanted = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [ADDRESS], **changes}
    kept = {key: value for key, value in wanted.items() if value is not None}
    return Case("AuthorizeSecurityGroupIngress", {"IpPermissions": [kept]}, code, message)


def rsa(bits: int) -> bytes:
    """An RSA public key of that length, as OpenSSH writes it."""
    return _line(RSAPublicNumbers(65_537, 2 ** (bits - 1) + 1).public_key())


def _line(public_key: Any) -> bytes:
    line: bytes = public_key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line


ECDSA = _line(derive_private_key(7, SECP256R1()).public_key())


def tagged(code: str, message: str, tags: dict[str, str]) -> list[Case]:
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    specified = [{"ResourceType": "instance", "Tags": listed}]
    return [
        Case("CreateTags", {"Tags": listed}, code, message),
        launch(code, message, TagSpecifications=specified),
    ]


def spot(message: str, **options: str) -> Case:
    return launch(COMBINATION, message, InstanceMarketOptions={"MarketType": "spot", "SpotOptions": options})


def malformed(operation: str, parameter: str, code: str, prefix: str) -> Case:
    value = ["nonsense"] if parameter.endswith("s") else "nonsense"
    return Case(operation, {parameter: value}, code, f'Invalid id: "nonsense" (expecting "{prefix}-...")')


BEYOND = "Character sets beyond ASCII are not supported."
DASH = "an em dash: \u2014"
SIGNS = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
TWICE = [{"Key": "keep", "Value": "1"}, {"Key": "keep", "Value": "2"}]
TOO_LONG = "Length exceeds maximum of 255."
MATERIAL = "Value for parameter PublicKeyMaterial is invalid. "
NO_KEY = "Key is not in valid OpenSSH public key format"
RULE = (
    "Invalid rule description. Valid descriptions are strings less than 256 characters from the following "
    f"set: {SIGNS}"
)
NAMES = [
    Case("CreateSecurityGroup", {"GroupName": ""}, "MissingParameter",
         "The request must contain the parameter GroupName"),
    Case("CreateSecurityGroup", {"Description": ""}, "MissingParameter",
         "The request must contain the parameter GroupDescription"),
    Case("CreateSecurityGroup", {"GroupName": "default"}, VALUE,
         "Cannot use reserved security group name: default"),
    Case("CreateSecurityGroup", {"GroupName": "sg-86c8964"}, VALUE,
         "Value (sg-86c8964) for parameter GroupName is invalid. "
         "Group names may not be in the format sg-*."),
    Case("CreateSecurityGroup", {"GroupName": "ada's"}, VALUE,
         "Invalid security group name. Valid names are strings less than 256 characters from the following "
         f"set:  {SIGNS}"),
    *(Case("CreateSecurityGroup", {"Description": described}, VALUE,
           "Invalid security group description. Valid descriptions are strings less than 256 characters from "
           f"the following set:  {SIGNS}")
      for described in ("its owner's address", "x" * 256)),
    Case("CreateSecurityGroup", {"Description": "セキュリティグループ"}, VALUE,
         f"Value (セキュリティグループ) for parameter GroupDescription is invalid. {BEYOND}"),
    *(rule(RULE, **source) for source in (
        {"IpRanges": [{"CidrIp": "192.0.2.1/32", "Description": "ada's"}]},
        {"Ipv6Ranges": [{"CidrIpv6": "2001:db8::1/128", "Description": "x" * 256}]},
        {"UserIdGroupPairs": [{"GroupId": GROUP, "Description": "ada's"}]},
    )),
    *(Case("CreateImage", {"Name": name}, "InvalidAMIName.Malformed",
           "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', "
           "'.', '-', '/' and '_'")
      for name in ("a" * 129, "disk: ada", "di")),
    Case("CreateImage", {"Description": DASH}, VALUE,
         f"Value ({DASH}) for parameter Description is invalid. {BEYOND}"),
    Case("CreateImage", {"Description": "x" * 256}, VALUE, TOO_LONG),
    Case("ImportKeyPair", {"KeyName": "k" * 256}, VALUE, TOO_LONG),
    Case("ImportKeyPair", {"KeyName": "clé"}, VALUE, BEYOND),
    Case("CreatePlacementGroup", {"GroupName": "k" * 256}, VALUE, TOO_LONG),
    Case("CreatePlacementGroup", {"GroupName": "clé"}, VALUE, BEYOND),
    Case("ImportKeyPair", {"PublicKeyMaterial": KEY + b" " * 2048}, VALUE,
         MATERIAL + "Length exceeds maximum of 2048."),
    Case("ImportKeyPair", {"PublicKeyMaterial": KEY + " josé@laptop".encode()}, VALUE,
         MATERIAL + "Character sets beyond ASCII are not supported."),
    *(Case("ImportKeyPair", {"PublicKeyMaterial": material}, "InvalidKey.Format", NO_KEY)
      for material in (b"no key", b"", KEY.split()[1], RFC4716, rsa(512), rsa(1536), rsa(8192), ECDSA)),
]  # fmt: skip
TAGS = [
    *tagged("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.",
            {f"k{n}": "v" for n in range(51)}),
    *tagged(VALUE, "Value ( '' ) for parameter Tag key is invalid. Tag key cannot be null or empty.",
            {"": "v"}),
    *tagged(VALUE, "Tag key exceeds the maximum length of 128 characters", {"k" * 129: "v"}),
    *tagged(VALUE, "Tag value exceeds the maximum length of 256 characters", {"k": "v" * 257}),
    *tagged(VALUE, "Tag keys starting with 'aws:' are reserved for internal use",
            {"aws:cloudformation:stack-id": "v"}),
    Case("CreateTags", {"Tags": TWICE}, VALUE, "Duplicate tag key 'keep' specified."),
    launch(VALUE, "Duplicate tag key 'keep' specified.",
           TagSpecifications=[{"ResourceType": "instance", "Tags": TWICE}]),
    *(Case(operation, {"TagSpecifications": [{"ResourceType": "vpc", "Tags": TWICE[:1]}]}, VALUE,
           "'vpc' is not a valid taggable resource type for this operation.")
      for operation in ("RunInstances", "CreateSecurityGroup", "ImportKeyPair", "CreatePlacementGroup",
                        "CreateImage", "AuthorizeSecurityGroupIngress")),
    *(launch(VALUE, "Tag specification resource type must have a value",
             TagSpecifications=[{"Tags": TWICE[:1], **kind}]) for kind in ({}, {"ResourceType": ""})),
    launch(VALUE, "The same resource type may not be specified more than once in tag specifications",
           TagSpecifications=[{"ResourceType": "volume", "Tags": [one]} for one in TWICE]),
    Case("CreateTags", {"Resources": [f"i-{n:017x}" for n in range(1001)]}, "ResourceCountExceeded",
         "The maximum number of resources tagged on a single call is 1000"),
    Case("CreateTags", {"Resources": ["107.20.243.249"]}, "InvalidID",
         "The ID '107.20.243.249' is not valid"),
    Case("CreateTags", {"Resources": ["i-09d9c3cf55f726eea"]}, "InvalidInstanceID.NotFound",
         "The instance ID 'i-09d9c3cf55f726eea' does not exist"),
    Case("CreateTags", {"Resources": [VOLUME]}, "InvalidVolume.NotFound",
         f"The volume '{VOLUME}' does not exist."),
]  # fmt: skip
IDS = [
    *(Case(operation, {"InstanceIds": ["foobar"]}, "InvalidInstanceID.Malformed", 'Invalid id: "foobar"')
      for operation in ("DescribeInstances", "StartInstances", "StopInstances", "TerminateInstances")),
    malformed("DescribeImages", "ImageIds", "InvalidAMIID.Malformed", "ami"),
    malformed("DeregisterImage", "ImageId", "InvalidAMIID.Malformed", "ami"),
    malformed("DeleteSecurityGroup", "GroupId", "InvalidGroupId.Malformed", "sg"),
    malformed("DeleteVolume", "VolumeId", "InvalidVolumeID.Malformed", "vol"),
    malformed("DeleteSnapshot", "SnapshotId", "InvalidSnapshotID.Malformed", "snap"),
    malformed("DescribeSubnets", "SubnetIds", "InvalidSubnetID.Malformed", "subnet"),
    malformed("CreateSecurityGroup", "VpcId", "InvalidVpcID.Malformed", "vpc"),
    malformed("CancelSpotInstanceRequests", "SpotInstanceRequestIds",
              "InvalidSpotInstanceRequestID.Malformed", "sir"),
    malformed("ReleaseAddress", "AllocationId", "InvalidAllocationID.Malformed", "eipalloc"),
    Case("DescribeImages", {"Owners": ["12345"]}, "InvalidUserID.Malformed", "User ID '12345' is invalid"),
    *(Case("DescribeSnapshots", {"OwnerIds": [owner]}, "InvalidUserID.Malformed",
           f"User ID '{owner}' is invalid") for owner in ("me", "aws-marketplace", "12345")),
]  # fmt: skip
LAUNCHES = [
    launch(VALUE, "Maximum instance count must be greater than zero", MinCount=0, MaxCount=0),
    launch(VALUE, "must not be smaller than the minimum", MinCount=2, MaxCount=1),
    launch(VALUE, "It may be up to 64 ASCII characters long.", ClientToken="t" * 65),
    launch(VALUE, "User data is limited to 16384 bytes", UserData="x" * 16_385),
    launch(VALUE, "Invalid value 'g4dn.huge' for InstanceType.", InstanceType="g4dn.huge"),
    launch(VALUE, "Specify an integer from 1 to 64.", MetadataOptions={"HttpPutResponseHopLimit": 65}),
    launch(VALUE, "A value of 'on' is not valid for HttpEndpoint. Specify either 'enabled' or 'disabled' and "
           "try again.", MetadataOptions={"HttpEndpoint": "on"}),
    launch(VALUE, "A value of 'yes' is not valid for HttpTokens. Specify either 'optional' or 'required' and "
           "try again.", MetadataOptions={"HttpTokens": "yes"}),
    launch(VALUE, "(hibernate) for parameter InstanceInitiatedShutdownBehavior",
           InstanceInitiatedShutdownBehavior="hibernate"),
    launch(VALUE, "(auction) for parameter MarketType", InstanceMarketOptions={"MarketType": "auction"}),
    Case("CreatePlacementGroup", {"Strategy": "pile"}, VALUE, "(pile) for parameter Strategy"),
    spot("The request with type 'one-time' is not supported when instanceInterruptionBehavior is set to "
         "'stop'.", SpotInstanceType="one-time", InstanceInterruptionBehavior="stop"),
    spot("The terminate InstanceInterruptionBehavior is not supported when requestType is set to persistent.",
         SpotInstanceType="persistent", InstanceInterruptionBehavior="terminate"),
    spot("The terminate InstanceInterruptionBehavior is not supported when requestType is set to persistent.",
         SpotInstanceType="persistent"),
    launch(COMBINATION, "Network interfaces and an instance-level security groups may not be specified on "
           "the same request", NetworkInterfaces=[{"DeviceIndex": 0}], SecurityGroupIds=[GROUP]),
    launch(COMBINATION, "Network interfaces and an instance-level subnet ID may not be specified on the same "
           "request", NetworkInterfaces=[{"DeviceIndex": 0}], SubnetId="subnet-" + "0" * 17),
    launch(COMBINATION, "Network interfaces and an instance-level security groups may not be specified on "
           "the same request", NetworkInterfaces=[{"DeviceIndex": 0}], SecurityGroups=["box"]),
    launch(COMBINATION, "Network interfaces and an instance-level private IP address may not be specified on "
           "the same request", NetworkInterfaces=[{"DeviceIndex": 0}], PrivateIpAddress="172.31.0.9"),
    launch(COMBINATION, "The parameter groupName cannot be used with the parameter subnet",
           SecurityGroups=["box"], SubnetId="subnet-" + "0" * 17),
    *(launch("SecurityGroupsPerInterfaceLimitExceeded",
             "The maximum number of security groups per interface has been reached.", **given)
      for given in ({"SecurityGroupIds": SIX}, {"NetworkInterfaces": [{"DeviceIndex": 0, "Groups": SIX}]})),
    *(launch(COMBINATION, "The associatePublicIPAddress parameter cannot be specified when launching with "
             "multiple network interfaces.",
             NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": public}, {"DeviceIndex": 1}])
      for public in (True, False)),
    launch(COMBINATION, "The associatePublicIPAddress parameter can only be specified for the network "
           "interface with DeviceIndex 0.",
           NetworkInterfaces=[{"DeviceIndex": 1, "AssociatePublicIpAddress": True}]),
    *(launch("InvalidBlockDeviceMapping", "The device 'sdf' is used in more than one block-device mapping",
             BlockDeviceMappings=[{"DeviceName": name, "Ebs": {"VolumeSize": 8}} for name in names])
      for names in (("/dev/sdf", "/dev/sdf"), ("/dev/sdf", "sdf"))),
    launch("MissingParameter", "The request must contain the parameter MarketType",
           InstanceMarketOptions={"SpotOptions": {"MaxPrice": "1"}}),
    launch(COMBINATION, "You cannot specify tags for Spot instances requests if there are no Spot instances "
           "requests being created by the request.",
           TagSpecifications=[{"ResourceType": "spot-instances-request", "Tags": TWICE[:1]}]),
    launch(COMBINATION, "The parameters GroupId and GroupName exclude each other",
           Placement={"GroupId": "pg-" + "0" * 17, "GroupName": "box"}),
    launch(COMBINATION, "The parameters AvailabilityZone and AvailabilityZoneId exclude each other",
           Placement={"AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az1"}),
    Case("CreatePlacementGroup", {"PartitionCount": 2}, COMBINATION,
         "The parameter PartitionCount is valid only for the strategy partition"),
    Case("CreatePlacementGroup", {"Strategy": "spread", "ParentGroupId": "pg-" + "0" * 17}, COMBINATION,
         "The parameter ParentGroupId is valid only for the strategy cluster"),
    Case("CreatePlacementGroup", {"SpreadLevel": "shelf"}, VALUE, "(shelf) for parameter SpreadLevel"),
    launch(VALUE, "Each network interface requires a device index.",
           NetworkInterfaces=[{"AssociatePublicIpAddress": True}]),
    launch("InvalidBlockDeviceMapping", "Invalid device name /dev/disk",
           BlockDeviceMappings=[{"DeviceName": "/dev/disk", "Ebs": {"VolumeSize": 100}}]),
    launch("InvalidBlockDeviceMapping", "Either snapshot ID or volume size must be provided for: /dev/sdf",
           BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeType": "gp3"}}]),
    Case("ModifyInstanceAttribute", {"InstanceType": {"Value": "g4dn.huge"}}, "InvalidInstanceAttributeValue",
         "Invalid value 'g4dn.huge' for InstanceType."),
]  # fmt: skip
DISKS = [
    disk("UnknownVolumeType", "Unsupported volume type 'gp9' for volume creation.", VolumeType="gp9"),
    *(disk(COMBINATION, "throughput can only be specified for volumeType gp3.", Throughput=250, **ebs)
      for ebs in ({"VolumeType": "gp2"}, {"VolumeType": "io2", "Iops": 3000})),
    disk(COMBINATION, "The parameter iops must be specified for io2 volumes.", VolumeType="io2"),
    disk("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.",
         VolumeType="gp3", Encrypted=False,
         KmsKeyId="arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"),
    disk(COMBINATION, "The parameter iops is not supported for gp2 volumes.", VolumeType="gp2", Iops=3000),
    disk(VALUE, "Volume of 2000GiB is too large for volume type standard; maximum is 1024GiB",
         VolumeType="standard", VolumeSize=2000),
    disk(VALUE, "Volume of 17000GiB is too large for volume type gp2; maximum is 16384GiB", VolumeType="gp2",
         VolumeSize=17_000),
    disk(VALUE, "Volume of 70000GiB is too large for volume type gp3; maximum is 65536GiB",
         VolumeSize=70_000),
    disk(VALUE, "st1 volumes must be at least 125 GiB in size.", VolumeType="st1"),
    disk(VALUE, "Volume iops of 99 is too low; minimum is 100.", VolumeType="io2", Iops=99),
    disk(VALUE, "Volume iops of 256001 is too high; maximum is 256000.", VolumeType="io2", Iops=256_001,
         VolumeSize=1000),
    disk(VALUE, "Iops to volume size ratio of 750.000000 is too high; maximum is 500", VolumeSize=20,
         Iops=15_000),
    disk(VALUE, "Iops to volume size ratio of 1001.000000 is too high; maximum is 1000", VolumeType="io2",
         VolumeSize=10, Iops=10_010),
    disk(VALUE, "Volume throughput of 124 is too low", Throughput=124),
    disk(VALUE, "Volume throughput of 2001 is too high", Throughput=2001, Iops=20_000),
    disk(COMBINATION, "Throughput (MiBps) to iops ratio of 0.333333 is too high; maximum is 0.250000 MiBps "
         "per iops", Throughput=1000),
    disk(COMBINATION, "VolumeInitializationRate is supported only for volumes created from snapshots.",
         VolumeInitializationRate=300),
    *(disk(VALUE, f"Volume initialization rate of {rate} is out of range: 100 to 300 MiB/s.",
           SnapshotId="snap-" + "0" * 17, VolumeInitializationRate=rate) for rate in (99, 301)),
]  # fmt: skip
RULES = [
    rule("Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
         IpProtocol=None),
    *(rule(f"Invalid value '{protocol}' for IP protocol. Unknown protocol.", IpProtocol=protocol)
      for protocol in ("ssh", "all", "256", "999", "-2", "06")),
    *(rule("Invalid value for portRange. Must specify both from and to ports with TCP/UDP.", **half)
      for half in ({"ToPort": None}, {"IpProtocol": "17", "FromPort": None})),
    rule("TCP/UDP (from) port (-1) out of range", FromPort=-1, ToPort=-1),
    rule("TCP/UDP (to) port (-1) out of range", ToPort=-1),
    rule("TCP/UDP (to) port (65536) out of range", IpProtocol="udp", ToPort=65_536),
    *(rule("Invalid TCP/UDP port range (443:22)", IpProtocol=protocol, FromPort=443)
      for protocol in ("tcp", "udp", "6", "17")),
    *(rule("Invalid value for portRange. Must specify both from and to ports with ICMP.", IpProtocol=protocol,
           **{end: None}) for protocol in ("icmp", "1") for end in ("FromPort", "ToPort")),
    *(rule("ICMP code (65535) out of range", IpProtocol=protocol, FromPort=0, ToPort=65_535)
      for protocol in ("icmp", "1", "icmpv6", "58")),
    rule("ICMP type (256) out of range", IpProtocol="icmp", FromPort=256, ToPort=0),
    rule("ICMP code (0) must be -1 with ICMP type (-1)", IpProtocol="icmp", FromPort=-1, ToPort=0),
    *(rule("Missing source specification: include source security group or CIDR information",
           code="MissingParameter", **{"IpRanges": None, **source})
      for source in ({}, {"IpRanges": [{"Description": "home"}]}, {"UserIdGroupPairs": [{"UserId": "1"}]})),
    *(rule(f"CIDR block {block} is malformed", IpRanges=[{"CidrIp": block}])
      for block in ("192.0.2.1", "192.0.2.1/33", "192.0.2.0/255.255.255.0", "::/0", "home")),
    *(rule(f"CIDR block {block} is malformed", Ipv6Ranges=[{"CidrIpv6": block}])
      for block in ("2001:db8::/129", "2001:db8::1", "0.0.0.0/0", "fe80::1%eth0/64")),
]  # fmt: skip
FILTERED = (
    "DescribeAddresses", "DescribeAvailabilityZones", "DescribeImages", "DescribeInstanceStatus",
    "DescribeInstanceTypeOfferings", "DescribeInstanceTypes", "DescribeInstances", "DescribeInternetGateways",
    "DescribeKeyPairs", "DescribeNetworkInterfaces", "DescribePlacementGroups", "DescribeRegions",
    "DescribeRouteTables", "DescribeSecurityGroupRules", "DescribeSecurityGroups", "DescribeSnapshots",
    "DescribeSpotInstanceRequests", "DescribeSpotPriceHistory", "DescribeSubnets", "DescribeTags",
    "DescribeVolumes", "DescribeVolumesModifications", "DescribeVpcs",
)  # fmt: skip
PAGE = "for parameter maxResults is invalid. Expecting a value"
READS = [
    *(Case(operation, {ids: [one], "MaxResults": 5}, COMBINATION,
           f"The parameter {shown} cannot be used with the parameter maxResults")
      for operation, ids, one, shown in (
          ("DescribeInstances", "InstanceIds", INSTANCE, "instancesSet"),
          ("DescribeVolumes", "VolumeIds", VOLUME, "volumeSet"),
          ("DescribeSnapshots", "SnapshotIds", "snap-" + "0" * 17, "snapshotSet"),
          ("DescribeImages", "ImageIds", "ami-" + "0" * 17, "imageIdsSet"),
      )),
    Case("DescribeInstances", {"MaxResults": 2}, VALUE, f"Value ( 2 ) {PAGE} greater than 5."),
    *(Case("DescribeInstanceTypes", {"MaxResults": most}, "InvalidMaxResults",
           f"Value ( {most} ) {PAGE} from ( 5 ) to  ( 100 ).") for most in (4, 101)),
    *(Case("DescribeInstanceTypeOfferings", {"MaxResults": most}, "InvalidMaxResults",
           f"Value ( {most} ) {PAGE} from ( 5 ) to  ( 1000 ).") for most in (4, 1001)),
    Case("DescribeInstanceTypes", {"InstanceTypes": ["g4dn.xlarge", "g9.huge"]}, "InvalidInstanceType",
         "The following supplied instance types do not exist: [g9.huge]"),
    Case("DescribeVolumes", {"Filters": [{"Name": "tag:k", "Values": [f"{n}" for n in range(201)]}]},
         "FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200"),
    Case("DescribeVolumes", {"Filters": [{"Name": "tag:k", "Values": ["x" * 256]}]}, "FilterLimitExceeded",
         "The maximum length for a filter value is 255 characters"),
    *(Case(operation, {"Filters": [{"Name": "tag:k", "Values": ["v"]} for _ in range(51)]},
           "FilterLimitExceeded", "The maximum number of filters specified on a single call is 50")
      for operation in ("DescribeVolumes", "DescribeSnapshots")),
    *(Case(operation, {"Filters": [{"Values": ["red"]}]}, VALUE, "The filter 'null' is invalid")
      for operation in FILTERED),
    *(Case("DescribeImages", {"Filters": [{"Name": name, "Values": ["v"]}]}, VALUE,
           f"The filter '{name}' is invalid") for name in ("tag", "state:available", "Name", "", "critical")),
    *(Case(operation, {"Filters": [{"Name": "colour", "Values": ["red"]}]}, VALUE,
           "The filter 'colour' is invalid") for operation in FILTERED),
    Case("DescribeSpotPriceHistory", {"ProductDescriptions": ["BSD"]}, VALUE, "Value (BSD) for parameter"),
    Case("DescribeSpotPriceHistory", {"AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az1"},
         COMBINATION, "The parameters availabilityZone and availabilityZoneId exclude each other"),
    Case("GetProducts", {"ServiceCode": ""}, "InvalidParameterException",
         "Input Parameters are invalid. serviceCode cannot be null or empty", "pricing"),
]  # fmt: skip
WINDOW = "MaximumWindowInMinutes must {}be provided when FlexibleTimeWindowMode is set to {}"
POLICIES = [
    Case("CreateSchedule", {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "ValidationException",
         WINDOW.format("", "FLEXIBLE"), "scheduler"),
    Case("CreateSchedule", {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
         "ValidationException", WINDOW.format("not ", "OFF"), "scheduler"),
    Case("CreateRole", {"AssumeRolePolicyDocument": "{Statement"}, "MalformedPolicyDocument",
         "This policy contains invalid Json", "iam"),
    Case("CreateSchedule", {"Target": {"Arn": "arn:", "RoleArn": "arn:", "Input": "{"}},
         "ValidationException", "Target Input must be well-formed JSON", "scheduler"),
]  # fmt: skip
CASES = [*NAMES, *TAGS, *IDS, *LAUNCHES, *DISKS, *RULES, *READS, *POLICIES]
