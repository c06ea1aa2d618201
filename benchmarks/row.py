"""A row of the table: one wait, measured for gpu-box and for an alternative."""

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
    PROJECT = "a project's packages"
    SYNC = "sync"
    MANY_FILES = "sync of many files"
    LOGS = "`logs`"
    JUPYTER = "first Jupyter page"
    LISTS = "`ls`, `sweep`"
    FAR = "AWS 100 ms away, TLS"
    MANY = "a team at once"
    WATCHER = "the watcher"
    TESTS = "`make test`"


@dataclass(frozen=True, kw_only=True)
class Row:
    wait: Wait
    what: str  # the measured command: "`gpu-box --help`"
    ours: str  # the figure with its unit: "66 ms", "3 round trips"
    beside: str = ""  # the alternative with its figure: "`aws --version` 410 ms"
    ratio: float | None = None  # ours divided by theirs; below 1 is faster
    aim: str = ""  # "1.3 times or less"; empty without an aim
    met: bool | None = None  # None without an aim
    runs: str = ""  # number and spread: "20, 4 %"

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = {True: "yes", False: "no", None: ""}[self.met]
        return (self.wait, self.what, self.ours, self.beside, ratio, self.aim, met, self.runs)


class Skipped(Exception):
    """The part cannot be measured here; the text says why. The page keeps its rows."""
