"""The permissions that IAM calls and passing a role need: resources and condition keys as in the Service
Authorization Reference, "Actions, resources, and condition keys for AWS Identity and Access Management".

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.iam.models import iam_backends

from local_aws.api.calls import Fields, numbered
from local_aws.iam.evaluation import Need

# Condition key iam:PermissionsBoundary: the requested boundary, or the role's.
_BOUNDARY_ASKED = frozenset(
    {"CreateRole", "CreateUser", "PutRolePermissionsBoundary", "PutUserPermissionsBoundary"}
)
_BOUNDARY_THERE = frozenset(
    {
        "AttachRolePolicy",
        "DeleteRolePermissionsBoundary",
        "DeleteRolePolicy",
        "DetachRolePolicy",
        "PutRolePolicy",
    }
)
# Resource types, by the field that names one.
_NAMED = {
    "RoleName": "role",
    "UserName": "user",
    "GroupName": "group",
    "InstanceProfileName": "instance-profile",
}


def iam_needs(operation: str, fields: Fields, account: str, partition: str) -> Iterator[Need]:
    context = request_context(numbered(fields, "Tags.member"))
    if operation in _BOUNDARY_ASKED and (asked := fields.get("PermissionsBoundary")):
        context["iam:PermissionsBoundary"] = asked
    roles = {role.name: role for role in iam_backends[account][partition].roles.values()}
    role = roles.get(fields.get("RoleName", ""))
    if operation in _BOUNDARY_THERE and role is not None and role.permissions_boundary_arn:
        context["iam:PermissionsBoundary"] = role.permissions_boundary_arn
    if operation.startswith(("Attach", "Detach")):
        context["iam:PolicyARN"] = fields.get("PolicyArn", "")
    arn = _resource(operation, fields, f"arn:{partition}:iam::{account}", role)
    yield Need(f"iam:{operation}", arn, context)
    if operation == "CreateRole" and "aws:TagKeys" in context:
        yield Need("iam:TagRole", arn, context)
    if operation == "AddRoleToInstanceProfile" and role is not None:
        yield _pass(role.arn)


def pass_roles(profile: str | None, account: str, partition: str) -> Iterator[Need]:
    """The roles of an instance profile that is passed to EC2. profile: its name or ARN."""
    for one in iam_backends[account][partition].instance_profiles.values():
        if profile in (one.name, one.arn):
            for role in one.roles:
                yield _pass(role.arn)


def _pass(role: str) -> Need:
    return Need("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})


def request_context(tags: Fields) -> dict[str, Any]:
    keys: dict[str, Any] = {"aws:TagKeys": list(tags)} if tags else {}
    return keys | {f"aws:RequestTag/{key}": value for key, value in tags.items()}


def _resource(operation: str, fields: Fields, place: str, role: Any) -> str:
    """The ARN of the resource that the call reads or changes, with its path."""
    if role is not None and not operation.endswith("InstanceProfile"):
        return str(role.arn)
    path = fields.get("Path") or "/"
    if operation == "CreatePolicy":
        return f"{place}:policy{path}{fields.get('PolicyName', '')}"
    for field, kind in reversed(_NAMED.items()):
        if field in fields:
            return f"{place}:{kind}{path}{fields[field]}"
    if "PolicyArn" in fields:
        return fields["PolicyArn"]
    return "*"
