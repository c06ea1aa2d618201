"""Bytes as they come, to lines of text as they end. For output of commands and logs of jobs."""

from __future__ import annotations

import codecs


class LineSplitter:
    """Lines end at a newline; of a line redrawn by carriage returns, its last drawing counts."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, piece: bytes) -> list[str]:
        """The lines that `piece` completes, without their ends."""
        *lines, self._rest = (self._rest + self._decoder.decode(piece)).split("\n")
        return [_last_drawing(line) for line in lines]

    def rest(self) -> str:
        """What stands after the last newline."""
        return _last_drawing(self._rest + self._decoder.decode(b"", final=True))


def _last_drawing(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]
