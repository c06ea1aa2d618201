"""The samples on disk: JSON lines in three files, each bounded in size.

samples.jsonl is the current file and samples.1.jsonl the one before, both with every sample (about 8 hours
each). samples.old.jsonl holds one in 20 of the older samples (every 5 minutes), for about a week.
"""

import os
from typing import Iterator, List, Union

from .sample import Event, Sample, dump, parse

MOST = 1 << 20  # bytes of each file
THIN = 20  # one in this many older samples is kept


class Log:
    def __init__(self, folder: str, most: int = MOST) -> None:
        self._most = most
        self._new, self._full, self._old = (
            os.path.join(folder, name) for name in ("samples.jsonl", "samples.1.jsonl", "samples.old.jsonl")
        )

    def append(self, sample: Union[Sample, Event]) -> None:
        """Add one line. Raises OSError if the disk is full."""
        if _size(self._new) >= self._most:
            self._rotate()
        with open(self._new, "ab") as file:
            # Terminate a line that a crash truncated.
            torn = file.tell() > 0 and not _ends_whole(self._new)
            file.write((b"\n" if torn else b"") + dump(sample).encode() + b"\n")

    def read(self, *, thinned: bool = False) -> Iterator[Union[Sample, Event]]:
        """All samples, oldest first, without invalid lines. thinned: include samples.old.jsonl."""
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
    """The samples in one file, oldest first; none if it is missing."""
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
