"""Where GetConsoleOutput reads: whoever runs the machines says how."""

from __future__ import annotations

from collections.abc import Callable

_read: Callable[[str], bytes] = lambda instance_id: b""  # noqa: E731


def read_consoles_with(read: Callable[[str], bytes]) -> None:
    global _read
    _read = read


def console_output(instance_id: str) -> bytes:
    return _read(instance_id)
