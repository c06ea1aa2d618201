"""JSON Schema (draft 2020-12) of the frozen types that `view.json` writes.

The comment on a field's line becomes its description.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from textwrap import dedent
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gpu_box.model.results import printed

_SCALARS: dict[Any, dict[str, Any]] = {
    NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Decimal: {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    timedelta: {"type": "number", "description": "seconds"},
    Path: {"type": "string"},
    IPv4Network: {"type": "string"},
    IPv6Network: {"type": "string"},
}


def document(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with `$defs` for each name and for each type that they use."""
    types: dict[str, dict[str, Any]] = {}
    named = {name: _of(shape, types) for name, shape in shapes.items()}
    assert not named.keys() & types.keys()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gpu-box --json",
        "$defs": {**named, **dict(sorted(types.items()))},
    }


def _of(shape: Any, types: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema of one type. types: schemas of the dataclasses found so far by name; updated."""
    origin, inner = get_origin(shape), get_args(shape)
    if shape in _SCALARS:
        return dict(_SCALARS[shape])
    if origin in (Union, UnionType):
        return {"anyOf": [_of(one, types) for one in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple and inner[-1] is not Ellipsis:
        prefix = [_of(one, types) for one in inner]
        return {"type": "array", "prefixItems": prefix, "minItems": len(inner), "items": False}
    if origin in (tuple, list):
        return {"type": "array", "items": _of(inner[0], types)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(inner[1], types)}
    if isinstance(shape, type) and issubclass(shape, Enum):
        return {"enum": [one.value for one in shape]}
    assert is_dataclass(shape) and isinstance(shape, type), f"{shape} has no JSON form"
    if shape.__name__ not in types:
        types[shape.__name__] = {}  # registered first, in case it refers to itself
        types[shape.__name__].update(_object(shape, types))
    return {"$ref": f"#/$defs/{shape.__name__}"}


def _object(shape: type, types: dict[str, dict[str, Any]]) -> dict[str, Any]:
    hints, said, text = get_type_hints(shape), _comments(shape), shape.__doc__ or ""
    properties = {}
    for field in printed(shape):
        schema = properties[field.name] = _of(hints[field.name], types)
        if words := [word for word in (schema.get("description"), said.get(field.name)) if word]:
            schema["description"] = "; ".join(words)
    return {
        "type": "object",
        **({} if text.startswith(f"{shape.__name__}(") else {"description": inspect.cleandoc(text)}),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _comments(shape: type) -> dict[str, str]:
    """The comment of each field, on its line and the lines of its definition."""
    source = dedent(inspect.getsource(shape))
    lines, [body] = source.splitlines(), ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    said = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own = lines[node.lineno - 1 : node.end_lineno]
            found = [match[1] for line in own if (match := re.search(r"#\s*(.+)$", line))]
            said[node.target.id] = " ".join(found)
    return said
