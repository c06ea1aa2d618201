"""The parameters of a call by botocore's service models, and what those models refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.exceptions import UnknownServiceError
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.utils import get_service_model

from local_aws.api.calls import Call, form

# Signing names that botocore does not use.
_NAMES = {"servicequotas": "service-quotas"}
# Java's Z category (separators), for which Python's `re` has no name.
_SEPARATORS = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_MISSING = "Member must not be null"


class Unreadable(Exception):
    """A value does not have its parameter's type."""


@dataclass(frozen=True)
class Given:
    """A parameter of a request, or a part of one."""

    path: str  # "TagSpecifications.N.Tags.N.Key"; "" for the whole request
    shown: str  # as a validation error shows it: "tagSpecifications.1.member.tags.2.member.key"
    name: str  # the last name, as sent: "GroupDescription"
    shape: Any  # botocore's shape
    value: Any

    def broken(self) -> Iterator[tuple[str, str, Any]]:
        """(path shown, constraint, value) of each constraint that it breaks."""
        if self.shape.type_name == "structure":
            for name in self.shape.required_members:
                if name not in self.value:
                    yield f"{self.shown}.{_lower(name)}".strip("."), _MISSING, None
        for constraint in _unsatisfied(self.shape, self.value):
            yield self.shown, constraint, self.value


def input_shape(service: str, operation: str) -> Any:
    """The input's shape; None if botocore does not know the operation, or if it has no parameters."""
    try:
        model = get_service_model(_NAMES.get(service, service))
    except UnknownServiceError:
        return None
    return model.operation_model(operation).input_shape if operation in model.operation_names else None


def shape_at(service: str, operation: str, path: str) -> Any:
    """The shape at a path like `Given.path`. Raises KeyError if there is none."""
    shape = input_shape(service, operation)
    for name in filter(None, path.split(".")):
        shape = shape.member if name == "N" else shape.members[name]
    return shape


def given(call: Call) -> list[Given]:
    """Every parameter of the call and its parts, from the whole to the smallest. Raises Unreadable."""
    shape = input_shape(call.service, call.operation)
    if shape is None:
        return []
    model = get_service_model(_NAMES.get(call.service, call.service))
    parser = PROTOCOL_PARSERS[model.resolved_protocol](model.operation_model(call.operation))
    request = {
        "method": "",
        "headers": {},
        "body": call.body,
        "values": form(call.body) | dict(parse_qsl(call.query, keep_blank_values=True)),
        "url_path": call.path,
        "url_params": {"Name": unquote(call.path.rsplit("/", 1)[-1])},
    }
    try:
        return list(_parts(shape, parser.parse(request), "", "", ""))
    except (ValueError, TypeError, AttributeError) as error:
        raise Unreadable(str(error)) from error


def is_constrained(shape: Any) -> bool:
    """Whether the model limits its values, if only by their type."""
    by_type = shape.type_name in ("boolean", "timestamp")
    return by_type or bool(shape.metadata.keys() & {"enum", "max", "pattern"})


def _parts(shape: Any, value: Any, path: str, shown: str, name: str) -> Iterator[Given]:
    yield Given(path, shown, name, shape, value)
    if shape.type_name == "structure":
        for member, inner in value.items():
            found = shape.members[member]
            sent = found.serialization.get("queryName") or found.serialization.get("name", member)
            below = (f"{path}.{member}".strip("."), f"{shown}.{_lower(member)}".strip("."))
            yield from _parts(found, inner, *below, sent[:1].upper() + sent[1:])
    elif shape.type_name == "list":
        for nth, inner in enumerate(value, 1):
            yield from _parts(shape.member, inner, f"{path}.N", f"{shown}.{nth}.member", name)


def _unsatisfied(shape: Any, value: Any) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name in ("string", "list", "blob", "map"):
        if most is not None and len(value) > most:
            yield f"Member must have length less than or equal to {most}"
        if least is not None and len(value) < least:
            yield f"Member must have length greater than or equal to {least}"
    elif shape.type_name in ("integer", "long", "float", "double"):
        if most is not None and value > most:
            yield f"Member must have value less than or equal to {most}"
        if least is not None and value < least:
            yield f"Member must have value greater than or equal to {least}"
    if "pattern" in shape.metadata and not _compiled(shape.metadata["pattern"]).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {shape.metadata['pattern']}"
    if "enum" in shape.metadata and value not in shape.metadata["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(shape.metadata['enum'])}]"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A service model's pattern, compiled. It is Java's: \\w and \\d are ASCII, \\p{L} and \\p{N} are not."""
    if r"\p{" not in pattern:
        return re.compile(pattern, re.ASCII)
    return re.compile(
        pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d").replace(r"\p{Z}", _SEPARATORS)
    )


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
