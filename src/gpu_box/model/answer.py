"""JSON from the box, which may say anything: read by name, type and size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from gpu_box.errors import printable

_DECODER = json.JSONDecoder()
_LONGEST = 1000  # characters of a text; the rest is cut off
_LARGEST = 1 << 62
_LATEST = 7_258_118_400.0  # 2200-01-01: any time zone can still show it
_LONGEST_SPAN_S = 3e9  # a century


class Malformed(ValueError):
    """The value has another type or size than every version of gpu-box gives it."""


def read_json(text: str) -> Any:
    """Parse JSON and make every string printable. Raises ValueError if invalid or nested too deeply."""
    try:
        found, end = _DECODER.raw_decode(text.lstrip())
        # What the user's shell prints at its end (a trap of a start file) comes on lines of its own.
        if text.lstrip()[end : end + 1] not in ("", "\n"):
            raise Malformed("more than JSON")
        return _printable(found)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(text: str) -> Fields:
    """Raises ValueError as `read_json`, and for JSON that is no object."""
    return Fields(read_json(text))


class Fields:
    """An object in an answer of the box.

    A field that is missing or null has its default; without a default it is Malformed, as is any value of
    another type or size.
    """

    def __init__(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise Malformed("no object")
        self._value: Mapping[str, Any] = value

    def text(self, name: str, default: str | None = None, *, lines: bool = False) -> str:
        """On one line unless `lines`; cut after _LONGEST characters."""
        return as_text(self._found(name, default), lines=lines)

    def number(
        self, name: str, default: float | None = None, *, least: float = 0.0, most: float = 1e15
    ) -> float:
        return as_number(self._found(name, default), least=least, most=most)

    def number_or_none(self, name: str, *, least: float = 0.0, most: float = 1e15) -> float | None:
        return self.number(name, least=least, most=most) if self.has(name) else None

    def whole(self, name: str, default: int | None = None, *, most: int = _LARGEST) -> int:
        """From 0 on."""
        return as_whole(self._found(name, default), most=most)

    def whole_or_none(self, name: str, *, most: int = _LARGEST) -> int | None:
        return self.whole(name, most=most) if self.has(name) else None

    def flag(self, name: str) -> bool:
        """False where it is missing."""
        found = self._found(name, False)
        if not isinstance(found, bool):
            raise Malformed(name)
        return found

    def span_or_none(self, name: str) -> timedelta | None:
        """A number of seconds, clamped to between 0 and a century."""
        seconds = self.number_or_none(name, least=float("-inf"), most=float("inf"))
        return None if seconds is None else timedelta(seconds=min(max(seconds, 0.0), _LONGEST_SPAN_S))

    def moment(self, name: str) -> datetime:
        """Seconds since 1970 as an aware time in UTC."""
        return as_moment(self._found(name, None))

    def moment_or_none(self, name: str) -> datetime | None:
        return self.moment(name) if self.has(name) else None

    def inside(self, name: str) -> Fields:
        """Empty where it is missing."""
        return Fields(self._found(name, {}))

    def array(self, name: str) -> list[Any]:
        """Empty where it is missing."""
        return as_list(self._found(name, []))

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(as_text(each) for each in self.array(name))

    def items(self, name: str) -> list[tuple[str, Any]]:
        """The names, each printable and on one line, and values of an object; empty where it is missing."""
        found = self._found(name, {})
        if not isinstance(found, Mapping):
            raise Malformed(f"no {name}")
        return [(as_text(key), value) for key, value in found.items()]

    def has(self, name: str) -> bool:
        return self.value(name) is not None

    def value(self, name: str) -> Any:
        """A value of any type; None if it is missing."""
        return self._value.get(name)

    def _found(self, name: str, default: Any) -> Any:
        found = self.value(name)
        found = default if found is None else found
        if found is None:
            raise Malformed(f"no {name}")
        return found


def as_text(value: Any, *, lines: bool = False) -> str:
    if not isinstance(value, str):
        raise Malformed("no text")
    shown = value if lines else " ".join(value.split("\n"))
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def as_number(value: Any, *, least: float = 0.0, most: float = 1e15) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise Malformed("no number")
    if not least <= value <= most:
        raise Malformed("a number without bounds")
    return float(value)


def as_whole(value: Any, *, most: int = _LARGEST) -> int:
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise Malformed("no whole number")
    return value


def as_moment(value: Any) -> datetime:
    return datetime.fromtimestamp(as_number(value, most=_LATEST), UTC)


def as_list(value: Any, *, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise Malformed("no list")
    return value


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): _printable(item) for key, item in value.items()}
    return value
