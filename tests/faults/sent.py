"""What gpu-box sent to AWS, parameter by parameter, against what the embedded cloud checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from local_aws.parameters.validation import covers

from .faults import Sent

Parameter = tuple[str, str, str]
"""Service, operation, path as of local_aws.parameters.service_model.Given."""


def unchecked(sent: Iterable[Sent]) -> set[Parameter]:
    """The parameters that no row and no service model says anything about."""
    return {one for one in parameters(sent) if not covers(*one)}


def parameters(sent: Iterable[Sent]) -> set[Parameter]:
    return {(service, operation, path) for service, operation, given in sent for path, _ in leaves(given, ())}


def leaves(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """(path, the keys and indices that lead there) of each value that has no parts."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*at, name))
    elif isinstance(value, list):
        for nth, inner in enumerate(value):
            yield from leaves(inner, (*at, nth))
    else:
        yield ".".join("N" if isinstance(key, int) else key for key in at), at
