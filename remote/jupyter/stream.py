"""Text of a stream as a notebook shows it: `\\r` returns to the start of the line, `\\b` goes back by one."""

import re

_STEPS = re.compile(r"(\r|\x08)")


class Text:
    """What was printed so far. `add` takes as long as its text is, however much came before."""

    def __init__(self, text: str = "") -> None:
        self._lines: list[str] = []
        self._last = ""
        self.add(text)

    def add(self, text: str) -> None:
        *lines, last = (self._last + text).split("\n")
        self._lines += [_overwritten(line.rstrip("\r")) + "\n" for line in lines]
        self._last = _overwritten(last)  # a `\r` at its end waits for what follows

    def __str__(self) -> str:
        self._lines = ["".join(self._lines)]
        return self._lines[0] + self._last


def _overwritten(line: str) -> str:
    if not _STEPS.search(line):
        return line
    shown, at = "", 0
    for piece in _STEPS.split(line):
        if piece == "\r":
            at = 0
        elif piece == "\x08":
            at = max(0, at - 1)
        else:
            shown = shown[:at] + piece + shown[at + len(piece) :]
            at += len(piece)
    return shown + "\r" if line.endswith("\r") else shown
