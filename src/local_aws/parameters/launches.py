"""RunInstances, ModifyInstanceAttribute and CreatePlacementGroup."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_aws.ec2 import catalogue
from local_aws.parameters import values
from local_aws.parameters.row import (
    BAD,
    COMBINATION,
    HUB,
    OWN_WORDS,
    VALUE,
    Row,
    at_most,
    like,
    not_both,
    one_of,
)


def _spot(request_type: str, *behaviors: str) -> Callable[[Any], bool]:
    """Whether options of this request type have one of these behaviors."""
    return lambda given: (
        given.get("SpotInstanceType", "one-time") != request_type
        or given.get("InstanceInterruptionBehavior", "terminate") in behaviors
    )


def _fills(given: Any) -> bool:
    return bool(given.get("MaxCount", 1) >= given.get("MinCount", 1))


def _only_for(strategy: str, parameter: str) -> Callable[[Any], bool]:
    return lambda given: parameter not in given or given.get("Strategy") == strategy


_PUBLIC = "AssociatePublicIpAddress"


def _asks_for_addresses_alone(interfaces: Any) -> bool:
    return len(interfaces) < 2 or not any(_PUBLIC in one for one in interfaces)


def _tags_what_it_makes(given: Any) -> bool:
    tagged = {one.get("ResourceType") for one in given.get("TagSpecifications", ())}
    return "spot-instances-request" not in tagged or bool(given.get("InstanceMarketOptions"))


def _device(mapping: Any) -> str:
    """A device's name as it is compared: `xvda` and `/dev/xvda` are one device."""
    return str(mapping.get("DeviceName", "")).removeprefix("/dev/")


def _twice(mappings: Any) -> str:
    return values.duplicate([{"Key": _device(one)} for one in mappings])


_INTERFACES = "Network interfaces and an instance-level {what} may not be specified on the same request"
_SPOT_OPTIONS = "RunInstances:InstanceMarketOptions.SpotOptions"
LAUNCHES = (
    Row(where="RunInstances:(MinCount|MaxCount)", takes=lambda count: count >= 1, code=VALUE,
        says=lambda _: "Maximum instance count must be greater than zero", doc="Constraints: Between 1 and",
        source=HUB + "jenkinsci/ec2-plugin/pull/252"),
    Row(where="RunInstances:", takes=_fills, code=VALUE, source=OWN_WORDS,
        says="The maximum instance count must not be smaller than the minimum instance count"),
    Row(where="RunInstances:ClientToken", takes=lambda token: token.isascii() and len(token) <= 64,
        code=VALUE, says=BAD + "It may be up to 64 ASCII characters long.", source=OWN_WORDS,
        doc="Constraints: Maximum 64 ASCII characters"),
    Row(where="RunInstances:UserData", takes=values.is_base64, code=VALUE,
        says="Invalid BASE64 encoding of user data", doc="User data must be base64-encoded.",
        source=HUB + "hashicorp/packer/issues/2616"),
    Row(where="RunInstances:UserData", takes=lambda text: len(values.decoded(text)) <= 16_384, code=VALUE,
        says="User data is limited to 16384 bytes", source="recorded: RunInstances"),
    Row(where="RunInstances:InstanceType", takes=catalogue.exists, code=VALUE,
        says="Invalid value '{value}' for InstanceType.", source=HUB + "iterative/cml/issues/821"),
    Row(where="ModifyInstanceAttribute:InstanceType.Value", takes=catalogue.exists,
        code="InvalidInstanceAttributeValue", says="Invalid value '{value}' for InstanceType.",
        source=OWN_WORDS),
    Row(where="RunInstances:MetadataOptions.HttpPutResponseHopLimit", takes=lambda hops: 1 <= hops <= 64,
        code=VALUE, says=BAD + "Specify an integer from 1 to 64.", source=OWN_WORDS,
        doc="Possible values: Integers from 1 to 64"),
    Row(where="RunInstances:MetadataOptions.HttpEndpoint", takes=one_of("enabled", "disabled"), code=VALUE,
        says="A value of '{value}' is not valid for HttpEndpoint. Specify either 'enabled' or 'disabled' and "
        "try again.",
        source=HUB + "hashicorp/terraform-provider-aws/issues/25547"),
    Row(where="RunInstances:MetadataOptions.HttpTokens", takes=one_of("optional", "required"), code=VALUE,
        says="A value of '{value}' is not valid for HttpTokens. Specify either 'optional' or 'required' and "
        "try again.",
        source="as of HttpEndpoint"),
    Row(where=_SPOT_OPTIONS, takes=_spot("one-time", "terminate"), code=COMBINATION,
        says=lambda given: "The request with type 'one-time' is not supported when "
        f"instanceInterruptionBehavior is set to '{given['InstanceInterruptionBehavior']}'.",
        source="recorded: RequestSpotInstances"),
    Row(where=_SPOT_OPTIONS, takes=_spot("persistent", "stop", "hibernate"), code=COMBINATION,
        says="The terminate InstanceInterruptionBehavior is not supported when requestType is set to "
        "persistent.",
        doc="persistent Spot Instance requests are only supported when the instance interruption behavior is "
        "either hibernate or stop",
        covers=_SPOT_OPTIONS + ".SpotInstanceType", source="recorded: RunInstances"),
    Row(where="RunInstances:InstanceMarketOptions", takes=lambda given: bool(given.get("MarketType")),
        code="MissingParameter", says="The request must contain the parameter MarketType",
        covers="RunInstances:InstanceMarketOptions.MarketType",
        source=HUB + "hashicorp/terraform-provider-aws/issues/38588"),
    Row(where="RunInstances:", takes=_tags_what_it_makes, code=COMBINATION,
        says="You cannot specify tags for Spot instances requests if there are no Spot instances requests "
        "being created by the request.",
        covers="RunInstances:TagSpecifications.N.ResourceType",
        source=HUB + "github-aws-runners/terraform-aws-github-runner/issues/4561, which has no code"),
    *(Row(where="RunInstances:", takes=not_both("NetworkInterfaces", groups), code=COMBINATION,
          says=_INTERFACES.format(what="security groups"), source=HUB + "aws/aws-sdk-ruby/issues/662",
          covers=f"RunInstances:{groups}")
      for groups in ("SecurityGroupIds", "SecurityGroups")),
    Row(where="RunInstances:", takes=not_both("NetworkInterfaces", "PrivateIpAddress"), code=COMBINATION,
        says=_INTERFACES.format(what="private IP address"), covers="RunInstances:PrivateIpAddress",
        doc="You cannot specify this option and the network interfaces option in the same request.",
        source=HUB + "puppetlabs-toy-chest/puppetlabs-aws/pull/394"),
    Row(where="RunInstances:", takes=not_both("SecurityGroups", "SubnetId"), code=COMBINATION,
        says="The parameter groupName cannot be used with the parameter subnet",
        covers="RunInstances:SecurityGroups", source=HUB + "aws/aws-sdk/issues/401"),
    Row(where="RunInstances:(NetworkInterfaces.N.Groups|SecurityGroupIds|SecurityGroups)", takes=at_most(5),
        code="SecurityGroupsPerInterfaceLimitExceeded",
        says="The maximum number of security groups per interface has been reached.",
        source=HUB + "kubernetes-sigs/aws-load-balancer-controller/issues/682"),
    Row(where="RunInstances:NetworkInterfaces", takes=_asks_for_addresses_alone, code=COMBINATION,
        says="The associatePublicIPAddress parameter cannot be specified when launching with multiple "
        "network interfaces.",
        doc="You cannot specify more than one network interface in the request.",
        covers=f"RunInstances:NetworkInterfaces.N.{_PUBLIC}",
        source=HUB + "zalando-incubator/kubernetes-on-aws/pull/8733"),
    Row(where="RunInstances:", takes=not_both("NetworkInterfaces", "SubnetId"), code=COMBINATION,
        says=_INTERFACES.format(what="subnet ID"), source=HUB + "aws/aws-cli/issues/809",
        covers="RunInstances:SubnetId"),
    Row(where="RunInstances:NetworkInterfaces.N", takes=lambda one: "DeviceIndex" in one, code=VALUE,
        says="Each network interface requires a device index.",
        doc="If you specify a network interface when launching an instance, you must specify the device "
        "index.",
        source="openstack/ec2-api: its tests against AWS",
        covers="RunInstances:NetworkInterfaces.N.DeviceIndex"),
    Row(where="RunInstances:NetworkInterfaces.N", code=COMBINATION,
        takes=lambda one: not one.get(_PUBLIC) or one.get("DeviceIndex", 0) == 0,
        says="The associatePublicIPAddress parameter can only be specified for the network interface with "
        "DeviceIndex 0.",
        doc="The public IP address can only be assigned to a network interface for eth0",
        covers=f"RunInstances:NetworkInterfaces.N.({_PUBLIC}|DeviceIndex)",
        source="EC2 User Guide, \"Monitor fleet events\"; the code is its neighbour's"),
    Row(where="RunInstances:BlockDeviceMappings", takes=lambda given: not _twice(given),
        code="InvalidBlockDeviceMapping", covers="RunInstances:BlockDeviceMappings.N.DeviceName",
        says=lambda given: f"The device '{_twice(given)}' is used in more than one block-device mapping",
        source=HUB + "hashicorp/terraform/issues/7233"),
    Row(where="RunInstances:BlockDeviceMappings.N.DeviceName", code="InvalidBlockDeviceMapping",
        takes=like("(/dev/)?(sd[a-z][0-9]{0,2}|xvd[a-z]{1,2}[0-9]{0,2}|hd[a-z])"),
        says="Invalid device name {value}", source=HUB + "aws/karpenter-provider-aws, troubleshooting"),
    *(Row(where="RunInstances:Placement", takes=not_both(f"{what}{one}", f"{what}{other}"), code=COMBINATION,
          says=f"The parameters {what}{one} and {what}{other} exclude each other", source=OWN_WORDS,
          doc=doc, covers=f"RunInstances:Placement.{what}({one}|{other})")
      for what, one, other, doc in (
          ("Group", "Id", "Name", "On input, you can specify GroupId or GroupName, but not both."),
          ("AvailabilityZone", "", "Id",
           "On input, you can specify AvailabilityZone or AvailabilityZoneId, but not both."),
      )),
    *(Row(where="CreatePlacementGroup:", takes=_only_for(strategy, parameter), code=COMBINATION,
          says=f"The parameter {parameter} is valid only for the strategy {strategy}", source=OWN_WORDS,
          doc=f"Valid only when Strategy is set to {strategy}.", covers=f"CreatePlacementGroup:{parameter}")
      for strategy, parameter in (("partition", "PartitionCount"), ("cluster", "ParentGroupId"))),
)  # fmt: skip
