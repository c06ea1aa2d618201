"""Names, descriptions, tags and ids: what most EC2 calls have in common."""

from __future__ import annotations

from local_aws.parameters import values
from local_aws.parameters.row import AS_IMAGES, BAD, HUB, OWN_WORDS, VALUE, Row, an_id, at_most, like, one_of

_ASCII = (
    "(CreateSecurityGroup:(GroupName|Description)|(.*KeyPair|RunInstances):KeyName|.*PlacementGroup:GroupName"
    "|RunInstances:Placement.GroupName|CreateImage:Description)"
)
_SIGNS = r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}"
_THE_SET = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
_OPENSTACK = "openstack/ec2-api: its tests against AWS"
_MATERIAL = "Value for parameter PublicKeyMaterial is invalid. "
_OF_MATERIAL = "quoted by users of Terraform's aws_key_pair"
NAMES = (
    Row(where="CreateSecurityGroup:(GroupName|Description)", takes=bool, code="MissingParameter",
        says="The request must contain the parameter {name}", source=_OPENSTACK),
    Row(where="CreateSecurityGroup:GroupName", takes=lambda name: name != "default", code=VALUE,
        says="Cannot use reserved security group name: {value}",
        source=_OPENSTACK),
    Row(where="CreateSecurityGroup:GroupName", takes=lambda name: not name.startswith("sg-"), code=VALUE,
        says=BAD + "Group names may not be in the format sg-*.", doc="Can't start with sg-",
        source=HUB + "pulumi/pulumi-awsx/issues/328"),
    Row(where=_ASCII, takes=str.isascii, code=VALUE, doc="ASCII characters",
        says=BAD + "Character sets beyond ASCII are not supported.",
        source=HUB + "hashicorp/terraform-provider-aws/pull/43854"),
    Row(where="CreateSecurityGroup:GroupName", takes=like(_SIGNS), code=VALUE,
        says="Invalid security group name. Valid names are strings less than 256 characters from the "
        f"following set:  {_THE_SET}",
        doc="Valid characters: a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*",
        source="as of descriptions"),
    Row(where="CreateSecurityGroup:Description", takes=like(_SIGNS), code=VALUE,
        says="Invalid security group description. Valid descriptions are strings less than 256 characters "
        f"from the following set:  {_THE_SET}",
        doc="Valid characters: a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*",
        source=HUB + "cds-snc/notification-terraform/pull/561"),
    Row(where=".*SecurityGroup.*:(IpPermissions|SecurityGroupRule).*Description", code=VALUE,
        takes=like(_SIGNS),
        says="Invalid rule description. Valid descriptions are strings less than 256 characters from the "
        f"following set: {_THE_SET}",
        doc="Constraints: Up to 255 characters in length. Allowed characters are a-z, A-Z, 0-9",
        source=HUB + "aws-cloudformation/cfn-lint/issues/173"),
    Row(where="CreateImage:Name", takes=like(r"[a-zA-Z0-9()\[\] ./\-'@_]{3,128}"),
        code="InvalidAMIName.Malformed",
        says="AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', "
        "')', '.', '-', '/' and '_'",
        doc="Constraints: 3-128 alphanumeric characters, parentheses (()), square brackets ([]), spaces",
        source=HUB + "base2Services/shelvery-aws-backups/issues/28"),
    Row(where=_ASCII, takes=at_most(255), code=VALUE, doc="Up to 255 ASCII characters",
        says=BAD + "Length exceeds maximum of 255.", source=HUB + "CrowdStrike/Cloud-AWS/issues/241"),
    Row(where="ImportKeyPair:PublicKeyMaterial", takes=at_most(2048), code=VALUE,
        says=_MATERIAL + "Length exceeds maximum of 2048.", source=_OF_MATERIAL),
    Row(where="ImportKeyPair:PublicKeyMaterial", takes=bytes.isascii, code=VALUE,
        says=_MATERIAL + "Character sets beyond ASCII are not supported.", source=_OF_MATERIAL),
    Row(where="ImportKeyPair:PublicKeyMaterial", takes=values.is_public_key, code="InvalidKey.Format",
        says="Key is not in valid OpenSSH public key format", source="recorded: ImportKeyPair"),
)  # fmt: skip

_TAGS = "(CreateTags:|.*:TagSpecifications.N.)Tags"
_TAGGED = {
    "RunInstances": ("instance", "volume", "network-interface", "spot-instances-request"),
    "CreateSecurityGroup": ("security-group",),
    "AuthorizeSecurityGroupIngress": ("security-group-rule",),
    "ImportKeyPair": ("key-pair",),
    "CreatePlacementGroup": ("placement-group",),
    "CreateImage": ("image", "snapshot"),
}
_SPECIFIED = ".*:TagSpecifications"
TAGS = (
    Row(where="CreateTags:Resources", takes=at_most(1000), code="ResourceCountExceeded",
        says="The maximum number of resources tagged on a single call is 1000",
        doc="Constraints: Up to 1000 resource IDs.", source=OWN_WORDS),
    Row(where=_SPECIFIED, takes=lambda given: not values.duplicate(given, "ResourceType"), code=VALUE,
        says="The same resource type may not be specified more than once in tag specifications",
        source=HUB + "skypilot-org/skypilot/pull/10627"),
    Row(where=_SPECIFIED + ".N", takes=lambda one: bool(one.get("ResourceType")), code=VALUE,
        says="Tag specification resource type must have a value", covers=_SPECIFIED + ".N.ResourceType",
        source=HUB + "yegor256/rultor/issues/1991"),
    Row(where=_TAGS, takes=at_most(50), code="TagLimitExceeded", source=OWN_WORDS,
        says="The maximum number of Tags for a resource has been reached."),
    Row(where=_TAGS, takes=lambda tags: not values.duplicate(tags), code=VALUE,
        says=lambda tags: f"Duplicate tag key '{values.duplicate(tags)}' specified.",
        source=HUB + "scylladb/scylla-cluster-tests/issues/1532"),
    Row(where=_TAGS + ".N.Key", takes=bool, code=VALUE,
        says="Value ( '' ) for parameter Tag key is invalid. Tag key cannot be null or empty.",
        source=HUB + "aws/aws-cli/issues/3283"),
    Row(where=_TAGS + ".N.Key", takes=at_most(128), code=VALUE,
        says="Tag key exceeds the maximum length of 128 characters",
        doc="Tag keys are case-sensitive and accept a maximum of 127 Unicode characters. May not begin with "
        "aws:.",
        source=HUB + "skypilot-org/skypilot/pull/1992"),
    Row(where="CreateTags:Tags.N.Key", takes=lambda key: not key.lower().startswith("aws:"), code=VALUE,
        says="Value ( {value} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for "
        "internal use",
        doc="May not begin with aws:.", source=HUB + "jcjorel/ec2-spot-converter/issues/13"),
    Row(where=_TAGS + ".N.Key", takes=lambda key: not key.lower().startswith("aws:"), code=VALUE,
        says="Tag keys starting with 'aws:' are reserved for internal use", doc="May not begin with aws:.",
        source=HUB + "jcjorel/ec2-spot-converter/issues/13"),
    Row(where=_TAGS + ".N.Value", takes=at_most(256), code=VALUE,
        says="Tag value exceeds the maximum length of 256 characters",
        doc="Tag values are case-sensitive and accept a maximum of 256 Unicode characters.",
        source=HUB + "iriusrisk/GoCD-EC2-Elastic-Agent-Plugin/issues/24"),
    *(Row(where=f"{operation}:TagSpecifications.N.ResourceType", takes=one_of(*kinds), code=VALUE,
          says="'{value}' is not a valid taggable resource type for this operation.",
          source=HUB + "mulgadc/spinifex")
      for operation, kinds in _TAGGED.items()),
)  # fmt: skip

_EXPECTING = 'Invalid id: "{value}" (expecting "%s-...")'
_OF_SG = HUB + "hashicorp/terraform-provider-aws/blob/main/internal/service/ec2/vpc_security_group_test.go"
IDS = (
    Row(where=".*:(InstanceId|InstanceIds.N)", takes=an_id("i"), code="InvalidInstanceID.Malformed",
        says='Invalid id: "{value}"', source="recorded: DescribeInstances"),
    *(Row(where=f".*:(.*[.])?{names}", takes=an_id(prefix), code=code, says=_EXPECTING % prefix,
          source=source)
      for names, prefix, code, source in (
          ("(ImageId|ImageIds.N)", "ami", "InvalidAMIID.Malformed", "recorded: DescribeImages"),
          ("(GroupId|NetworkInterfaces.N.Groups.N|SecurityGroupIds.N)", "sg", "InvalidGroupId.Malformed",
           _OF_SG),
          ("(VolumeId|VolumeIds.N)", "vol", "InvalidVolumeID.Malformed", AS_IMAGES),
          ("(SnapshotId|SnapshotIds.N)", "snap", "InvalidSnapshotID.Malformed", AS_IMAGES),
          ("(SubnetId|SubnetIds.N)", "subnet", "InvalidSubnetID.Malformed", AS_IMAGES),
          ("(VpcId|VpcIds.N)", "vpc", "InvalidVpcID.Malformed", AS_IMAGES),
          ("SpotInstanceRequestIds.N", "sir", "InvalidSpotInstanceRequestID.Malformed", AS_IMAGES),
          ("(AllocationId|AllocationIds.N)", "eipalloc", "InvalidAllocationID.Malformed", AS_IMAGES),
      )),
    Row(where="CreateTags:Resources.N", takes=like("[a-z-]+-[0-9a-f]{8,17}"), code="InvalidID",
        says="The ID '{value}' is not valid", source=HUB + "kubernetes/cloud-provider-aws/pull/1387"),
    *(Row(where=f"{owners}.N", code="InvalidUserID.Malformed", takes=like(f"{aliases}|[0-9]{{12}}"),
          says="User ID '{value}' is invalid", doc="You can specify a combination of Amazon Web Services "
          f"account IDs, self, {documented}",
          source=HUB + "aws/aws-fpga/blob/master/hdk/docs/describe_fpga_images.md")
      for owners, aliases, documented in (
          ("DescribeImages:Owners", "self|amazon|aws-marketplace|aws-backup-vault",
           "amazon, aws-backup-vault, and aws-marketplace."),
          ("DescribeSnapshots:OwnerIds", "self|amazon", "and amazon."),
      )),
)  # fmt: skip
