"""What a command prints with --json, held to the schema that docs/schema.json tells the world."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema

from tests.paths import ROOT

SCHEMA = ROOT / "docs" / "schema.json"


@cache
def known() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(SCHEMA.read_text())
    return told


def held(words: Sequence[str], printed: str, *, failed: bool = False) -> Any:
    """words: what was typed. Returns the value; raises ValidationError for what the schema does not know."""
    typed = f" {' '.join(word for word in words if not word.startswith('-'))} "
    names = [name for name in known()["$defs"] if f" {name} " in typed]
    # Of `local status` that, and of `logs run` the first word.
    name = min(names, key=lambda name: (typed.index(f" {name} "), -len(name)))
    value = json.loads(printed)
    shape = "any command that fails" if failed else name
    schema = {**known(), "$ref": f"#/$defs/{shape}"}
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(value)
    return value
