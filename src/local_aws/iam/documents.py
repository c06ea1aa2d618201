"""The policies that a user, group or role of moto's carries, as documents for `local_aws.iam.evaluation`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def documents(holder: Any) -> Iterator[dict[str, Any]]:
    """Every policy, inline or attached, parsed."""
    for policy in as_list(list(holder.policies.values())):
        yield json.loads(document(policy))
    for policy in holder.managed_policies.values():
        yield json.loads(next(v.document for v in policy.versions if v.is_default))


def document(policy: Any) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
