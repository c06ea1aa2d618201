"""Whether the caller may make a call: gpu-box by the operator's policies, IAM users and roles of this cloud
by theirs; the account's owner always.
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
from moto.utilities.utils import get_partition

from local_aws.api.calls import Call, form
from local_aws.ec2 import spot
from local_aws.faults import weather
from local_aws.iam.documents import boundary, documents
from local_aws.iam.evaluation import Need, allows, denies
from local_aws.iam.needs import needs
from local_aws.iam.trust import ASSUME, trusts

# "No permissions are required to perform this operation" (STS API reference).
_FREE = {("sts", "GetCallerIdentity")}


@dataclass(frozen=True)
class Operator:
    """The user that gpu-box is here. Not an IAM user of this cloud, so that no call can change its rights."""

    key_id: str
    policy: dict[str, Any]  # with the ARNs of the partition aws

    def policy_in(self, partition: str) -> dict[str, Any]:
        if partition == "aws":
            return self.policy
        changed: dict[str, Any] = json.loads(
            json.dumps(self.policy).replace('"arn:aws:', f'"arn:{partition}:')
        )
        return changed


@dataclass(frozen=True)
class _Caller:
    """policies: its permissions; boundary: their limit, None for no limit."""

    arn: str
    policies: list[dict[str, Any]]
    boundary: dict[str, Any] | None = None


def operator_policy(*files: Path) -> dict[str, Any]:
    """The statements of several policy files as one policy."""
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {**documents[0], "Statement": [one for policy in documents for one in policy["Statement"]]}


def refusal(call: Call, operator: Operator) -> tuple[str, str] | None:
    """AWS's code and message if the call is not permitted, else None."""
    if (call.service, call.operation) in _FREE:
        return None
    partition = get_partition(call.region)
    if call.key_id == operator.key_id:
        caller: _Caller | None = _Caller(
            f"arn:{partition}:iam::{DEFAULT_ACCOUNT_ID}:user/operator", [operator.policy_in(partition)]
        )
    else:
        caller = _caller(call.key_id)
    if caller is None:
        return None
    if (call.service, call.operation) == ("sts", "AssumeRole"):
        return _assume_refusal(caller, form(call.body).get("RoleArn", ""), partition)
    for need in needs(call, account=DEFAULT_ACCOUNT_ID):
        if why := _missing(caller, need):
            if need.action == spot.MAKE_ROLE:
                return spot.ROLE_REFUSED
            return _error_code(call.service), why
    return None


def _missing(caller: _Caller, need: Need) -> str:
    """AWS's message; "" if the caller may. A boundary grants nothing: both must allow (IAM User Guide,
    "Permissions boundaries for IAM entities").
    """
    organisation = weather().organisation
    if organisation and denies([{"Statement": list(organisation)}], need):
        return (
            f"User: {caller.arn} is not authorized to perform: {need.action} on resource: {need.resource} "
            "with an explicit deny in a service control policy"
        )
    if not allows(caller.policies, need):
        what = "identity-based policy"
    elif caller.boundary is not None and not allows([caller.boundary], need):
        what = "permissions boundary"
    else:
        return ""
    on = f" on resource: {need.resource}" if need.resource != "*" else ""
    return (
        f"User: {caller.arn} is not authorized to perform: {need.action}{on} because no {what} "
        f"allows the {need.action} action"
    )


def _assume_refusal(caller: _Caller, arn: str, partition: str) -> tuple[str, str] | None:
    """In one account, a trust policy that names the user is enough; one that names the account leaves it to
    the user's own policies (botocore's model of STS, AssumeRole: "To allow a user to assume a role in the
    same account").
    """
    need = Need(ASSUME, arn)
    role = _role(arn)
    account = (DEFAULT_ACCOUNT_ID, f"arn:{partition}:iam::{DEFAULT_ACCOUNT_ID}:root", "*")
    if role is not None:
        trust = role.assume_role_policy_document
        if trusts(trust, kind="AWS", names=[caller.arn]) and not denies(caller.policies, need):
            return None
        if trusts(trust, kind="AWS", names=account) and not _missing(caller, need):
            return None
    what = f"User: {caller.arn} is not authorized to perform: {ASSUME} on resource: {arn}"
    return _error_code("sts"), what


def _error_code(service: str) -> str:
    if service == "ec2":
        return "UnauthorizedOperation"
    return "AccessDenied" if service in ("iam", "sts") else "AccessDeniedException"


def _caller(key_id: str) -> _Caller | None:
    """The owner of the key; None for the account's owner."""
    for _, _, backend in iam_backends.iter_backends():
        for user in backend.users.values():
            if any(key.access_key_id == key_id for key in user.access_keys):
                return _Caller(user.arn, list(_of_user(backend, user)))
    for _, _, backend in sts_backends.iter_backends():
        for assumed in backend.assumed_roles:
            if assumed.access_key_id == key_id:
                role = _role(assumed.role_arn)
                if role is None:
                    return _Caller(assumed.arn, [])
                return _Caller(assumed.arn, list(documents(role)), boundary(role))
    return None


def _of_user(backend: IAMBackend, user: Any) -> Iterator[dict[str, Any]]:
    groups = [group for group in backend.groups.values() if user in group.users]
    for holder in (user, *groups):
        yield from documents(holder)


def _role(arn: str) -> Any:
    backends = (backend for _, _, backend in iam_backends.iter_backends())
    roles = (role for backend in backends for role in backend.roles.values())
    return next((role for role in roles if role.arn == arn), None)
