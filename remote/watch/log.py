"""The samples on disk: JSON lines in three files, bounded whatever the clock says.

samples.jsonl is being written; samples.1.jsonl came before it, every sample too (about 8 hours each). What
is older goes to samples.old.jsonl, one sample in 20 (5 minutes), of which the newest week or so is kept.
"""

import os
from typing import Iterator, List, Union

from .sample import Event, Sample, dump, parse

MOST = 1 << 20  # bytes of each file
THIN = 20  # of older samples, one in this many is kept


class Log:
    def __init__(self, folder: str, most: int = MOST) -> None:
        self._most = most
        self._new, self._full, self._old = (
            os.path.join(folder, name) for name in ("samples.jsonl", "samples.1.jsonl", "samples.old.jsonl")
        )

    def append(self, sample: Union[Sample, Event]) -> None:
        """OSError when the disk is full: the watcher goes on without its log."""
        if _size(self._new) >= self._most:
            self._rotate()
        with open(self._new, "ab") as file:
            # A line cut short by a crash is ended first, so that it spoils no other.
            torn = file.tell() > 0 and not _ends_whole(self._new)
            file.write((b"\n" if torn else b"") + dump(sample).encode() + b"\n")

    def read(self, *, thinned: bool = False) -> Iterator[Union[Sample, Event]]:
        """Oldest first; lines that are no samples are left out. thinned: begin with the older ones."""
        for path in ([self._old] if thinned else []) + [self._full, self._new]:
            yield from samples(path)

    def _rotate(self) -> None:
        lines = _lines(self._full)
        kept = [line for i, line in enumerate(lines) if i % THIN == 0 or b'"event"' in line]
        old = _lines(self._old) + kept
        size = 0
        for first in range(len(old) - 1, -1, -1):
            size += len(old[first])
            if size > self._most:
                old = old[first + 1 :]
                break
        with open(self._old + ".new", "wb") as file:
            file.writelines(old)
        os.replace(self._old + ".new", self._old)
        os.replace(self._new, self._full)


def samples(path: str) -> Iterator[Union[Sample, Event]]:
    """The samples in one file, oldest first. A missing file has none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    yield parse(line)
                except ValueError:
                    continue
    except FileNotFoundError:
        return


def _lines(path: str) -> List[bytes]:
    try:
        with open(path, "rb") as file:
            return file.readlines()
    except FileNotFoundError:
        return []


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _ends_whole(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
