"""One line of the table: a wait that a user has, ours beside what they would use instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Wait(StrEnum):
    """In the order of the table."""

    COMMAND = "the command starts"
    STATUS = "`status` of one box"
    UP_FROM_NOTHING = "`up` from nothing"
    UP_FROM_STOPPED = "`up` from stopped"
    UP_AGAIN = "`up` on a finished box"
    SET_UP = "set-up of a new machine"
    SYNC = "sync"
    JUPYTER = "first Jupyter page"
    LISTS = "`ls`, `sweep`"
    WATCHER = "the watcher"
    TESTS = "`make test`"


@dataclass(frozen=True, kw_only=True)
class Row:
    wait: Wait
    what: str  # what was measured: "`gpu-box --help`"
    ours: str  # the figure with its unit: "66 ms", "3 round trips"
    beside: str = ""  # what it is beside, with its figure: "`aws --version` 410 ms"
    ratio: float | None = None  # ours by theirs; below 1 is faster
    aim: str = ""  # "1.3 times or less"; empty where the row only informs
    met: bool | None = None  # None where there is no aim
    runs: str = ""  # how many, and their spread: "20, 4 %"

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = {True: "yes", False: "no", None: ""}[self.met]
        return (self.wait, self.what, self.ours, self.beside, ratio, self.aim, met, self.runs)


class Skipped(Exception):
    """What cannot be measured here, and why. What the page said of it stays."""
