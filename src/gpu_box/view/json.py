"""Stable JSON for scripts, from frozen values.

Money is a string of US dollars ("0.526"), a duration is seconds, a time is ISO 8601 with its UTC offset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any

from gpu_box.model.results import printed

_printed = False  # whether the running command has printed its value


def write(value: Any, *, line: bool = False) -> None:
    """Print the command's one value. line: on a single line, for a reader while the command stays open."""
    global _printed
    text = dumps(value, line=line)
    _printed = True  # before it: Ctrl-C within it is no reason for a second value
    print(text, flush=line)


def was_printed() -> bool:
    return _printed


def forget() -> None:
    global _printed
    _printed = False


def dumps(value: Any, *, line: bool = False) -> str:
    """ASCII only, so that any encoding of standard output can print it."""
    return json.dumps(plain(value), indent=None if line else 2)


def plain(value: Any) -> Any:
    """value: frozen dataclasses, containers and scalars; anything else becomes str(value)."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in printed(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float) and not isfinite(value):
        return None  # JSON has neither NaN nor infinity
    if isinstance(value, Decimal):
        return f"{value:f}"  # never 0E-7
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
