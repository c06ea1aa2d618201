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
