"""Prices from AWS, cached for a while: one small file each in the user's cache folder.

Files are written atomically, so any number of processes may share them; an unreadable file counts as missing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gpu_box.files import read_own_json, write_whole
from gpu_box.store.files import GARBAGE, cache_home, safe_name


@dataclass(frozen=True)
class PriceCache:
    """cloud: EC2's host and port, so that prices of another cloud are not used."""

    cloud: str
    region: str

    @property
    def folder(self) -> Path:
        """Raises OSError if the cache folder is another user's."""
        cache = cache_home()
        if cache is None:
            raise PermissionError
        return cache.joinpath("prices", safe_name(self.cloud), safe_name(self.region))

    def read(self, key: str, *, now: datetime, longest: timedelta) -> tuple[Any, datetime] | None:
        """The cached value and its time, if it is not older than `longest`. now: aware."""
        try:
            data = read_own_json(self.folder / f"{safe_name(key)}.json")
            value, asked = data["value"], datetime.fromisoformat(data["asked"])
            fresh = timedelta(0) <= now - asked <= longest
        except GARBAGE:
            return None
        return (value, asked) if fresh else None

    def write(self, key: str, value: Any, *, now: datetime) -> None:
        """value: JSON data. Errors are ignored."""
        with suppress(OSError):
            text = json.dumps({"asked": now.isoformat(), "value": value})
            write_whole(self.folder / f"{safe_name(key)}.json", text)
