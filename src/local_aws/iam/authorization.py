"""Whether who calls may: gpu-box itself by infra/operator-policy.json, IAM users and roles of this cloud by
their policies; the account's owner may everything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import IAMBackend, iam_backends
from moto.sts.models import sts_backends

from local_aws.api.calls import Call
from local_aws.ec2 import spot
from local_aws.iam.documents import documents
from local_aws.iam.evaluation import allows
from local_aws.iam.needs import needs

# "No permissions are required to perform this operation" (STS API reference).
_FREE = {("sts", "GetCallerIdentity")}


@dataclass(frozen=True)
class Operator:
    """The user that gpu-box is here: no IAM user of this cloud, so that no call can change what it may do."""

    key_id: str
    policy: dict[str, Any]


def operator_policy(file: Path) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return policy


def refusal(call: Call, operator: Operator) -> tuple[str, str] | None:
    """AWS's code and message where the call is not permitted; None where it is."""
    if (call.service, call.operation) in _FREE:
        return None
    if call.key_id == operator.key_id:
        found: tuple[str, list[dict[str, Any]]] | None = (
            f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:user/operator",
            [operator.policy],
        )
    else:
        found = _policies(call.key_id)
    if found is None:
        return None
    arn, policies = found
    for need in needs(call, account=DEFAULT_ACCOUNT_ID):
        if not allows(policies, need):
            on = f" on resource: {need.resource}" if need.resource != "*" else ""
            why = (
                f"User: {arn} is not authorized to perform: {need.action}{on} because no identity-based "
                f"policy allows the {need.action} action"
            )
            if need.action == spot.MAKE_ROLE:
                return spot.ROLE_REFUSED
            return _error_code(call.service), why
    return None


def _error_code(service: str) -> str:
    if service == "ec2":
        return "UnauthorizedOperation"
    return "AccessDenied" if service in ("iam", "sts") else "AccessDeniedException"


def _policies(key_id: str) -> tuple[str, list[dict[str, Any]]] | None:
    """Whose key it is, and that one's policies."""
    for _, _, backend in iam_backends.iter_backends():
        for user in backend.users.values():
            if any(key.access_key_id == key_id for key in user.access_keys):
                return user.arn, list(_of_user(backend, user))
    for _, _, backend in sts_backends.iter_backends():
        for role in backend.assumed_roles:
            if role.access_key_id == key_id:
                return role.arn, list(_of_role(role.role_arn))
    return None


def _of_user(backend: IAMBackend, user: Any) -> Iterator[dict[str, Any]]:
    groups = [group for group in backend.groups.values() if user in group.users]
    for holder in (user, *groups):
        yield from documents(holder)


def _of_role(arn: str) -> Iterator[dict[str, Any]]:
    for _, _, backend in iam_backends.iter_backends():
        for role in backend.roles.values():
            if role.arn == arn:
                yield from documents(role)
