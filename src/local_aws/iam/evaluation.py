"""IAM policies, evaluated as AWS does: a Deny that applies wins, else an Allow that applies is needed.

Pure. moto's evaluation ignores resources, and all conditions but StringEquals (IAM User Guide, "Policy
evaluation logic" and "IAM JSON policy elements: Condition operators").
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Context = Mapping[str, "str | Sequence[str]"]
"""Condition keys with a value in this call; a sequence for keys with several values, such as aws:TagKeys."""


@dataclass(frozen=True)
class Need:
    """One action on one resource. A call can need several."""

    action: str  # "ec2:RunInstances"
    resource: str = "*"  # its ARN; "*" for actions without resources
    context: Context = field(default_factory=dict)


def allows(policies: Iterable[Mapping[str, Any]], need: Need) -> bool:
    """policies: parsed documents. Raises ValueError for an unknown condition."""
    allowed = False
    for policy in policies:
        statements = policy["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            if _applies(statement, need):
                if statement["Effect"] == "Deny":
                    return False
                allowed = True
    return allowed


def denies(policies: Iterable[Mapping[str, Any]], need: Need) -> bool:
    """Whether a Deny applies."""
    return not allows([*policies, {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}], need)


def _applies(statement: Mapping[str, Any], need: Need) -> bool:
    return (
        _any_like(statement["Action"], need.action, ignore_case=True)
        and (need.resource == "*" == statement["Resource"] or _any_like(statement["Resource"], need.resource))
        and all(
            _holds(operator, need.context.get(key), _words(wanted))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, actual: str | Sequence[str] | None, wanted: list[str]) -> bool:
    if operator == "Null":
        return (actual is None) == (wanted[0].lower() == "true")
    every = operator.startswith("ForAllValues:")
    operator = operator.removeprefix("ForAllValues:")
    if actual is None:
        # Without a value every operator fails, except ForAllValues and ...IfExists.
        return every or operator.endswith("IfExists")
    match = _OPERATORS.get(operator.removesuffix("IfExists"))
    if match is None:
        raise ValueError(f"the condition operator {operator} is not implemented")
    passed = [any(match(pattern, value) for pattern in wanted) for value in _words(actual)]
    return all(passed) if every else any(passed)


def _any_like(patterns: str | list[str], value: str, *, ignore_case: bool = False) -> bool:
    if ignore_case:
        value = value.lower()
        return any(_like(pattern.lower(), value) for pattern in _words(patterns))
    return any(_like(pattern, value) for pattern in _words(patterns))


def _like(pattern: str, value: str) -> bool:
    """* matches any number of characters, ? exactly one."""
    return _compiled(pattern).fullmatch(value) is not None


def _same_truth(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


# "ArnEquals and ArnLike condition operators behave identically" (IAM User Guide).
_OPERATORS = {
    "StringEquals": operator.eq, "StringLike": _like,
    "ArnEquals": _like, "ArnLike": _like, "Bool": _same_truth,
}  # fmt: skip


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _words(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
