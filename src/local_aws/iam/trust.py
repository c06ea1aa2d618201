"""Which principals a role's trust policy allows to assume it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from local_aws.iam.documents import as_list, document
from local_aws.iam.evaluation import Context, Need, allows

ASSUME = "sts:AssumeRole"


def trusts(policy: Any, *, kind: str, names: Iterable[str], context: Context | None = None) -> bool:
    """Whether one of `names` may assume the role by its trust policy.

    kind: of principal, "Service" or "AWS". context: of the call.
    """
    wanted = set(names)
    own = [
        {**statement, "Resource": "*"}
        for statement in as_list(json.loads(document(policy)).get("Statement"))
        if wanted & set(_principals(statement.get("Principal"), kind))
    ]
    return allows([{"Statement": own}], Need(ASSUME, context=context or {}))


def _principals(principal: Any, kind: str) -> list[str]:
    if principal == "*":
        return ["*"]
    return as_list(principal.get(kind, [])) if isinstance(principal, dict) else []
