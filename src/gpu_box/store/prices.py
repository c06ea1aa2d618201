"""Prices that AWS told, kept for a while: a small file each in the user's cache folder.

A file is written whole or not at all, so any number of processes may read and write at once, and one that
cannot be read is as good as none. Never the truth: whoever removes the folder loses a second.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gpu_box.files import write_whole


@dataclass(frozen=True)
class PriceCache:
    """cloud: the host and port that EC2 answers on: what another cloud told is not for this one."""

    cloud: str
    region: str

    @property
    def folder(self) -> Path:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(cache).expanduser() / "gpu-box" / "prices" / _safe(self.cloud) / _safe(self.region)

    def read(self, key: str, *, now: datetime, longest: timedelta) -> tuple[Any, datetime] | None:
        """What was written under the key and when, unless that is longer ago. now: aware."""
        try:
            told = json.loads((self.folder / f"{_safe(key)}.json").read_text(encoding="utf-8"))
            value, asked = told["value"], datetime.fromisoformat(told["asked"])
            fresh = timedelta(0) <= now - asked <= longest
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (value, asked) if fresh else None

    def write(self, key: str, value: Any, *, now: datetime) -> None:
        """value: of what JSON has. A folder that cannot be written to is no reason to fail."""
        with suppress(OSError):
            text = json.dumps({"asked": now.isoformat(), "value": value})
            write_whole(self.folder / f"{_safe(key)}.json", text)


def _safe(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", word)
