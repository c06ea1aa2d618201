"""ModifyInstanceAttribute in both of its forms; it changes only what the request names."""

from __future__ import annotations

from typing import Any

from moto.core.utils import camelcase_to_underscores
from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError
from moto.ec2.utils import parse_user_data

from local_aws.ec2 import catalogue

_BOOLEANS = {"DisableApiTermination", "DisableApiStop", "EbsOptimized", "EnaSupport", "SourceDestCheck"}
_WORDS = {
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "Kernel",
    "Ramdisk",
    "SriovNetSupport",
    "UserData",
}
_WHILE_STOPPED = {"InstanceType", "Kernel", "Ramdisk", "UserData", "SriovNetSupport", "EnaSupport"}


def modify(backend: Any, params: dict[str, Any]) -> None:
    """params: the request's. Raises AWS's errors, and changes nothing then."""
    instance = backend.get_instance(params["InstanceId"])
    changes = _named(params)
    for name, value in changes.items():
        _check(instance, name, value)
    groups = [_group(backend, group_id) for group_id in params.get("Groups") or []]
    mappings = params.get("BlockDeviceMappings") or []
    if not (changes or groups or mappings):
        raise EC2ClientError("InvalidParameterCombination", "No attributes specified.")
    for name, value in changes.items():
        if name == "UserData" and value:
            value = parse_user_data(value)
        setattr(instance, camelcase_to_underscores(name), value)
    if groups:
        instance.security_groups = groups
        backend.modify_network_interface_attribute(instance.nics[0].id, [group.id for group in groups])
    for mapping in mappings:
        keep = (mapping.get("Ebs") or {}).get("DeleteOnTermination")
        device = instance.block_device_mapping.get(mapping.get("DeviceName"))
        if device is None:
            raise EC2ClientError(
                "InvalidInstanceAttributeValue",
                f"No device is currently mapped at {mapping.get('DeviceName')}",
            )
        if keep is not None:
            device.delete_on_termination = keep


def _named(params: dict[str, Any]) -> dict[str, Any]:
    """{"InstanceType": "..."} of either form: Attribute= and Value=, or InstanceType={"Value": ...}."""
    named = {
        name: params[name]["Value"]
        for name in _BOOLEANS | _WORDS
        if isinstance(params.get(name), dict) and "Value" in params[name]
    }
    attribute = params.get("Attribute")
    if attribute and params.get("Value") is not None:
        name = attribute[0].upper() + attribute[1:]
        if name not in _BOOLEANS | _WORDS:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ({attribute}) for parameter attribute is invalid. Unknown attribute.",
            )
        value = params["Value"]
        named[name] = str(value).lower() == "true" if name in _BOOLEANS else value
    return named


def _check(instance: Any, name: str, value: Any) -> None:
    if name in _WHILE_STOPPED and instance.state != "stopped":
        raise EC2ClientError(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state."
        )
    if name == "InstanceType" and instance.lifecycle == "spot":
        # EC2 User Guide, "Behavior of Spot Instance interruptions"; the message is this cloud's.
        raise EC2ClientError(
            "UnsupportedOperation",
            f"You can't modify the instance type of the Spot Instance '{instance.id}'.",
        )
    if name == "InstanceType" and not _becomes(instance.instance_type, value):
        raise EC2ClientError(
            "InvalidInstanceAttributeValue",
            f"Modifying the instance type from {instance.instance_type} to {value} is not allowed.",
        )
    if name == "InstanceInitiatedShutdownBehavior" and value not in ("stop", "terminate"):
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({value}) for parameter value is invalid. Invalid instance initiated shutdown behavior.",
        )


def _becomes(old: str, new: str) -> bool:
    """Whether AWS allows the change of type. g5 to p4d is reported to fail
    (github.com/pulumi/pulumi/issues/16758); "Compatibility for changing the instance type" (EC2 User Guide)
    does not list the families.
    """
    return catalogue.exists(new) and (old.partition(".")[0], new.partition(".")[0]) != ("g5", "p4d")


def _group(backend: Any, group_id: str) -> Any:
    group = backend.get_security_group_from_id(group_id)
    if group is None:
        raise InvalidSecurityGroupNotFoundError(group_id)
    return group
