"""What a call needs to be permitted: each action, on each resource that it touches, with what is known of it.

As in the Service Authorization Reference: a launch needs ec2:RunInstances on the instance that it makes and
on the image, subnet, group and key that it uses, and ec2:CreateTags for tags that come with it; a schedule
needs iam:PassRole on its role.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from moto.ec2.models import ec2_backends

from local_aws.api.calls import Call, Fields, form, json_object, numbered, tags_asked
from local_aws.ec2 import placement, spot
from local_aws.iam.evaluation import Context, Need

_READS = ("Describe", "List")
# EC2's resource types by what their ids begin with.
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
    place = f"arn:aws:{call.service}:{call.region}:{account}"
    if call.service == "ec2":
        yield from _ec2(call.operation, form(call.body), place, call.region, account)
    elif call.service == "iam":
        yield from _iam(call.operation, form(call.body), account)
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

    def owner(kind: str) -> str:
        return f"arn:aws:ec2:{region}:" if kind in ("image", "snapshot") else place

    for kind in made:
        yield Need(action, f"{owner(kind)}:{kind}/*", _request_context(asked.get(kind, {})))
    for kind, tags in asked.items():
        yield Need(
            "ec2:CreateTags",
            f"{owner(kind)}:{kind}/*",
            _request_context(tags) | {"ec2:CreateAction": operation},
        )
    direct = numbered(fields, "Tag") if operation == "CreateTags" else {}
    used = list(_used(backend, fields, without_key="key-pair" in made))
    used += _placement_group(backend, operation, fields)
    for kind, name, tags in used:
        context = _resource_context(tags) | _request_context(direct)
        if kind == "instance":
            context |= _instance_context(backend, name)
        yield Need(action, f"{owner(kind)}:{kind}/{name}", context)
    if operation == "RunInstances" and "InstanceMarketOptions.MarketType" in fields:
        yield from _spot_role(account)
    if not (made or used):
        yield Need(action)


def _spot_role(account: str) -> Iterator[Need]:
    """Of the account's first spot instance: whoever asks for it makes the role that EC2 then acts by."""
    if not spot.has_role(account):
        context: Context = {"iam:AWSServiceName": spot.SERVICE}
        yield Need(spot.MAKE_ROLE, f"arn:aws:iam::{account}:role{spot.ROLE_PATH}{spot.ROLE}", context)


def _used(backend: Any, fields: Fields, *, without_key: bool) -> Iterator[tuple[str, str, Fields]]:
    """(kind, id, its tags) of each resource that is named and there."""
    for name, value in fields.items():
        if name.startswith(("TagSpecification", "Tag.", "UserData", "ClientToken")):
            continue
        if name == "KeyName" and not without_key:
            pair = backend.key_pairs.get(value)
            if pair is not None:
                yield "key-pair", value, _tags(backend, pair.id)
        elif match := _ID.fullmatch(value):
            yield _KINDS[match[1]], value, _tags(backend, value)


def _placement_group(backend: Any, operation: str, fields: Fields) -> Iterator[tuple[str, str, Fields]]:
    """Its ARN has its name, and no id."""
    name = fields.get("GroupName" if operation == "DeletePlacementGroup" else "Placement.GroupName")
    group = placement.all_of(backend).get(name or "")
    if group:
        yield "placement-group", group.name, _tags(backend, group.id)


def _tags(backend: Any, resource_id: str) -> Fields:
    return {str(key): str(value) for key, value in backend.tags.get(resource_id, {}).items()}


def _request_context(tags: Fields) -> dict[str, Any]:
    keys: dict[str, Any] = {"aws:TagKeys": list(tags)} if tags else {}
    return keys | {f"aws:RequestTag/{key}": value for key, value in tags.items()}


def _resource_context(tags: Fields) -> dict[str, Any]:
    return {f"aws:ResourceTag/{key}": value for key, value in tags.items()}


def _instance_context(backend: Any, instance_id: str) -> dict[str, Any]:
    """Of an existing one: its keys in the Service Authorization Reference, those that policies here name."""
    instance = next((i for i in backend.all_instances() if i.id == instance_id), None)
    if instance is None:
        return {}
    profile = getattr(instance, "iam_instance_profile", None)
    market = "spot" if instance.lifecycle == "spot" else "on-demand"
    return {"ec2:InstanceMarketType": market} | ({"ec2:InstanceProfile": profile["Arn"]} if profile else {})


def _iam(operation: str, fields: Fields, account: str) -> Iterator[Need]:
    role = fields.get("RoleName")
    arn = f"arn:aws:iam::{account}:role/{role}" if role else "*"
    tags = numbered(fields, "Tags.member")
    yield Need(f"iam:{operation}", arn, _request_context(tags))
    if operation == "CreateRole" and tags:
        yield Need("iam:TagRole", arn, _request_context(tags))


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
        owner = f"arn:aws:ssm:{region}:" if public else place
        return f"{owner}:parameter/{str(fields['Name']).lstrip('/')}"
    if service == "servicequotas" and "DesiredValue" in fields:
        return f"{place}:{fields['ServiceCode']}/{fields['QuotaCode']}"
    return "*"
