"""JSON from the box, which may say anything."""

from __future__ import annotations

import json
from typing import Any

from gpu_box.errors import printable

# Raised while a value of the wrong kind or size is read: a missing key, a list for a number, the year 10^300.
NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError)


def read_json(text: str) -> Any:
    """Every string in it is printable. Raises ValueError for what is no JSON, or nested too deep."""
    try:
        return _printable(json.loads(text))
    except RecursionError:
        raise ValueError("nested too deep") from None


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): _printable(item) for key, item in value.items()}
    return value
