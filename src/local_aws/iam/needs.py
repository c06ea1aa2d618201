"""The permissions that a call needs: each action, on each resource that it uses, with its condition keys.

As in the Service Authorization Reference: a launch needs ec2:RunInstances on the instance and on its image,
subnet, group and key, and ec2:CreateTags for its tags; a schedule needs iam:PassRole on its role.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from moto.ec2.models import ec2_backends
from moto.utilities.utils import get_partition

from local_aws.api.calls import Call, Fields, form, json_object, numbered, tags_asked
from local_aws.ec2 import placement, spot
from local_aws.iam.evaluation import Context, Need
from local_aws.iam.own_needs import iam_needs, pass_roles, request_context

_READS = ("Describe", "List")
# EC2's resource types by the prefix of their ids.
_KINDS = {
    "i": "instance", "vol": "volume", "sg": "security-group", "subnet": "subnet", "vpc": "vpc",
    "ami": "image", "snap": "snapshot", "eni": "network-interface", "eipalloc": "elastic-ip",
    "sir": "spot-instances-request", "key": "key-pair",
}  # fmt: skip
_ID = re.compile(f"({'|'.join(_KINDS)})-[0-9a-f]{{8,}}")
_MAKES = {
    "RunInstances": ("instance", "volume", "network-interface"),
    "CreateSecurityGroup": ("security-group",),
    "ImportKeyPair": ("key-pair",),
    "CreateKeyPair": ("key-pair",),
    "CreatePlacementGroup": ("placement-group",),
    "CreateVolume": ("volume",),
    "CreateSnapshot": ("snapshot",),
    "CreateImage": ("image", "snapshot"),
}


def needs(call: Call, *, account: str) -> Iterator[Need]:
    partition = get_partition(call.region)
    place = f"arn:{partition}:{call.service}:{call.region}:{account}"
    if call.service == "ec2":
        yield from _ec2(call.operation, form(call.body), place, call.region, account)
    elif call.service == "iam":
        yield from iam_needs(call.operation, form(call.body), account, partition)
    elif call.service == "scheduler":
        yield from _scheduler(call.operation, call.path, json_object(call.body), place)
    else:
        resource = _named(call.service, json_object(call.body), call.region, place)
        yield Need(f"{call.service}:{call.operation}", resource)


def _ec2(operation: str, fields: Fields, place: str, region: str, account: str) -> Iterator[Need]:
    action = f"ec2:{operation}"
    if operation.startswith(_READS):
        yield Need(action)
        return
    asked = tags_asked(fields)
    backend = ec2_backends[account][region]
    made = _MAKES.get(operation, ())
    if "security-group-rule" in asked:
        made += ("security-group-rule",)

    def owner(kind: str) -> str:
        return f"arn:{get_partition(region)}:ec2:{region}:" if kind in ("image", "snapshot") else place

    for kind in made:
        yield Need(action, f"{owner(kind)}:{kind}/*", request_context(asked.get(kind, {})))
    for kind, tags in asked.items():
        yield Need(
            "ec2:CreateTags",
            f"{owner(kind)}:{kind}/*",
            request_context(tags) | {"ec2:CreateAction": operation},
        )
    direct = numbered(fields, "Tag") if operation == "CreateTags" else {}
    used = list(_used(backend, fields, without_key="key-pair" in made))
    used += _groups_by_name(backend, operation, fields)
    if operation == "RunInstances":
        used += _default_group(backend, used)
    used += _placement_group(backend, operation, fields)
    for kind, name, tags in used:
        context = {f"aws:ResourceTag/{key}": value for key, value in tags.items()} | request_context(direct)
        if kind == "instance":
            context |= _instance_context(backend, name)
        yield Need(action, f"{owner(kind)}:{kind}/{name}", context)
    if operation == "RunInstances" and "InstanceMarketOptions.MarketType" in fields:
        yield from _spot_role(account, get_partition(region))
    if operation in ("RunInstances", "AssociateIamInstanceProfile"):
        named = fields.get("IamInstanceProfile.Arn") or fields.get("IamInstanceProfile.Name")
        yield from pass_roles(named, account, get_partition(region))
    if not (made or used):
        yield Need(action)


def _spot_role(account: str, partition: str) -> Iterator[Need]:
    """The first spot request of an account creates the service-linked role with which EC2 then acts."""
    if not spot.has_role(account):
        context: Context = {"iam:AWSServiceName": spot.SERVICE}
        yield Need(spot.MAKE_ROLE, f"arn:{partition}:iam::{account}:role{spot.ROLE_PATH}{spot.ROLE}", context)


def _used(backend: Any, fields: Fields, *, without_key: bool) -> Iterator[tuple[str, str, Fields]]:
    """(kind, id, its tags) of each existing resource that the call names."""
    for name, value in fields.items():
        if name.startswith(("TagSpecification", "Tag.", "UserData", "ClientToken")):
            continue
        if name == "KeyName" and not without_key:
            pair = backend.key_pairs.get(value)
            if pair is not None:
                yield "key-pair", value, _tags(backend, pair.id)
        elif match := _ID.fullmatch(value):
            yield _KINDS[match[1]], value, _tags(backend, value)


def _groups_by_name(backend: Any, operation: str, fields: Fields) -> Iterator[tuple[str, str, Fields]]:
    """The default VPC's security groups that the call names by their name."""
    by_name = [value for name, value in fields.items() if re.fullmatch(r"SecurityGroup\.\d+", name)]
    if operation.endswith(("SecurityGroupIngress", "SecurityGroupEgress", "DeleteSecurityGroup")):
        by_name += [fields[name] for name in ("GroupName",) if name in fields]
    default = backend.get_default_vpc()
    for group in backend.groups[default.id].values() if default and by_name else ():
        if group.name in by_name:
            yield "security-group", group.id, _tags(backend, group.id)


def _default_group(backend: Any, used: list[tuple[str, str, Fields]]) -> Iterator[tuple[str, str, Fields]]:
    """The VPC's default group, for a launch that names no security group.

    ec2:RunInstances needs a security group (Service Authorization Reference), so the default is checked.
    """
    if any(kind in ("security-group", "network-interface") for kind, _, _ in used):
        return
    subnet = next((name for kind, name, _ in used if kind == "subnet"), None)
    default = backend.get_default_vpc()
    subnets = {name for zone in backend.subnets.values() for name in zone}
    vpc = backend.get_subnet(subnet).vpc_id if subnet in subnets else default and default.id
    if vpc and (group := backend.get_default_security_group(vpc)):
        yield "security-group", group.id, _tags(backend, group.id)


def _placement_group(backend: Any, operation: str, fields: Fields) -> Iterator[tuple[str, str, Fields]]:
    """A placement group: its ARN has its name, not its id."""
    name = fields.get("GroupName" if operation == "DeletePlacementGroup" else "Placement.GroupName")
    group = placement.all_of(backend).get(name or "")
    if group:
        yield "placement-group", group.name, _tags(backend, group.id)


def _tags(backend: Any, resource_id: str) -> Fields:
    return {str(key): str(value) for key, value in backend.tags.get(resource_id, {}).items()}


def _instance_context(backend: Any, instance_id: str) -> dict[str, Any]:
    """The condition keys of an existing instance that policies here use (Service Authorization Reference)."""
    instance = next((i for i in backend.all_instances() if i.id == instance_id), None)
    if instance is None:
        return {}
    profile = getattr(instance, "iam_instance_profile", None)
    market = "spot" if instance.lifecycle == "spot" else "on-demand"
    return {"ec2:InstanceMarketType": market} | ({"ec2:InstanceProfile": profile["Arn"]} if profile else {})


def _scheduler(operation: str, path: str, fields: dict[str, Any], place: str) -> Iterator[Need]:
    if operation == "ListSchedules":
        yield Need("scheduler:ListSchedules")
        return
    yield Need(f"scheduler:{operation}", f"{place}:schedule/default/{unquote(path.rsplit('/', 1)[-1])}")
    role: Any = fields.get("Target", {}).get("RoleArn")
    if role:
        context: Context = {"iam:PassedToService": "scheduler.amazonaws.com"}
        yield Need("iam:PassRole", role, context)


def _named(service: str, fields: dict[str, Any], region: str, place: str) -> str:
    if service == "ssm" and "Name" in fields:
        public = str(fields["Name"]).startswith("/aws/")
        owner = f"arn:{get_partition(region)}:ssm:{region}:" if public else place
        return f"{owner}:parameter/{str(fields['Name']).lstrip('/')}"
    if service == "servicequotas" and "DesiredValue" in fields:
        return f"{place}:{fields['ServiceCode']}/{fields['QuotaCode']}"
    return "*"
