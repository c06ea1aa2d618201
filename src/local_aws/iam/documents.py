"""The policies of a moto user, group or role, as documents for `local_aws.iam.evaluation`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from moto.iam.models import iam_backends


def documents(holder: Any) -> Iterator[dict[str, Any]]:
    """Every inline and attached policy, parsed."""
    for policy in as_list(list(holder.policies.values())):
        yield json.loads(document(policy))
    for policy in holder.managed_policies.values():
        yield _default(policy)


def _default(policy: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(next(v.document for v in policy.versions if v.is_default))
    return parsed


def boundary(role: Any) -> dict[str, Any] | None:
    """The role's permissions boundary, parsed; None where it has none.

    One whose policy is gone permits nothing.
    """
    arn = role.permissions_boundary_arn
    if not arn:
        return None
    policy = iam_backends[role.account_id][role.partition].managed_policies.get(arn)
    return _default(policy) if policy else {"Statement": []}


def document(policy: Any) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
