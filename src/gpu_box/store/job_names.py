"""The names of each box's jobs when this laptop last saw them, for shell completion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from gpu_box.files import read_own_json, write_whole
from gpu_box.store.files import GARBAGE, data_home

_FILE = "jobs.json"
_MOST = 200  # names of one box


def names(box: str) -> list[str]:
    with suppress(*GARBAGE):
        return [str(name) for name in read_own_json(data_home() / _FILE)[box]]
    return []


def remember(box: str, found: Sequence[str]) -> None:
    """Errors are ignored."""
    known: dict[str, list[str]] = {}
    with suppress(*GARBAGE):
        known = dict(read_own_json(data_home() / _FILE))
    if known.get(box) != list(found[-_MOST:]):
        with suppress(OSError):
            write_whole(data_home() / _FILE, json.dumps({**known, box: list(found[-_MOST:])}))
