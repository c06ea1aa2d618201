"""Whether a role's policies allow a call on a resource with tags: moto's evaluation, told the tags.

moto knows StringEquals alone, takes a condition as met where it is not told the value, and takes an Allow
whose condition is not met for a Deny: hence a statement at a time, with a value for each key that the
statement names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

_TAG = "ResourceTag/"


def permits(role: Any, action: str, arn: str, tags: Mapping[str, str]) -> bool:
    allowed = False
    for statement in _statements(role):
        values = {key: tags.get(key.partition(_TAG)[2], "") for key in _context_keys(statement)}
        verdict = IAMPolicyStatement(statement).is_action_permitted(
            action, arn, incoming_condition_values=values
        )
        if verdict == PermissionResult.DENIED and statement["Effect"] == "Deny":
            return False
        allowed = allowed or verdict == PermissionResult.PERMITTED
    return allowed


def is_issued(key_id: str) -> bool:
    """Whether IAM or STS of this cloud gave that access key to somebody."""
    users = any(key_id in backend.access_keys for _, _, backend in iam_backends.iter_backends())
    return users or any(
        role.access_key_id == key_id
        for _, _, backend in sts_backends.iter_backends()
        for role in backend.assumed_roles
    )


def document(policy: Any) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statements(role: Any) -> Iterator[dict[str, Any]]:
    managed = [next(v.document for v in p.versions if v.is_default) for p in role.managed_policies.values()]
    for policy in (*role.policies.values(), *managed):
        yield from as_list(json.loads(document(policy))["Statement"])


def _context_keys(statement: dict[str, Any]) -> Iterator[str]:
    for condition in statement.get("Condition", {}).values():
        yield from condition
