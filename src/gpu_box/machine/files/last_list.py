"""What the last list of a large folder found: valid while `find` prints the same about the folder.

To list 200,000 files takes seconds; `find` takes a third of that, in its own process. Nothing is remembered
of a smaller folder, without GNU find, or of a git checkout, where settings outside the folder count, too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gpu_box import __version__
from gpu_box.files import read_own, write_whole
from gpu_box.machine.files import git
from gpu_box.machine.files.shared import Find
from gpu_box.store.files import GARBAGE, cache_home

LAST_LIST = True  # False: every list is made by a walk
MANY = 10_000  # files: fewer are listed in a moment
_MOST_FOLDERS = 20_000  # 2 MB
_MOST_LISTS = 20


@dataclass(frozen=True, kw_only=True)
class Summary:
    """folders: those with files, each with its digest (remote/sync/unchanged.py). count: the files; size:
    their bytes. left, broken: as in `selection.Scan`.
    """

    folders: dict[str, str]
    count: int
    size: int
    left: dict[str, list[str]]
    broken: tuple[str, ...] = ()


class LastList:
    """pruned: names of folders that are excluded wherever they are."""

    def __init__(self, folder: Path, exclude: Sequence[str], pruned: Sequence[str]) -> None:
        self._folder, self._pruned = folder, pruned
        key = repr([__version__, os.geteuid(), str(folder.absolute()), *exclude])
        name = hashlib.sha256(os.fsencode(key)).hexdigest()[:16]
        cache = cache_home() if LAST_LIST else None
        self._file = cache and cache / "lists" / f"{name}.json"
        self._last: dict[str, Any] | None = None
        if self._file:
            with suppress(*GARBAGE):
                digest, _, text = read_own(self._file).partition("\n")
                self._last = json.loads(text) if digest == _digest(text) else None
        self._find: Find | None = None
        self._seen: str | None = None

    @property
    def known(self) -> bool:
        """Whether there were many files the last time."""
        return self._last is not None

    def begin(self) -> None:
        if not self.known or self._find:
            return
        with suppress(OSError):
            self._find = Find(os.fsencode(self._folder), self._pruned, mtime=True)

    def wait(self) -> str:
        """A digest of what `find` prints; "" if nothing is remembered of the folder, or `find` fails."""
        self.begin()
        if self._seen is None and self._find:
            self._seen = self._find.digest()
        return self._seen or ""

    def summary(self) -> Summary | None:
        """None if the folder has changed since, or might have."""
        seen = self.wait()
        if not seen or not self._last or self._last.get("seen") != seen or git.is_checkout(self._folder):
            return None
        with suppress(*GARBAGE):
            summary = Summary(**self._last["summary"])
            return replace(summary, broken=tuple(summary.broken))
        return None

    def remember(self, summary: Summary) -> None:
        """summary: of a walk that began after `wait`."""
        worth = summary.count >= MANY and len(summary.folders) <= _MOST_FOLDERS
        if self._file and worth and not git.is_checkout(self._folder):
            text = json.dumps({"seen": self.wait(), "summary": asdict(summary)})
            with suppress(OSError):
                write_whole(self._file, f"{_digest(text)}\n{text}")
                for old in sorted(self._file.parent.iterdir(), key=os.path.getmtime)[:-_MOST_LISTS]:
                    old.unlink()
        elif self._file and self.known:
            with suppress(OSError):
                self._file.unlink()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
