"""Prints the table and updates docs/performance.md; rows that were not measured again stay."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import date

from docs.sections import section_of, with_section

from .row import Row, Wait

TITLE = "Where people wait"
HEAD = ("wait", "measured", "ours", "beside", "ratio", "aim", "met", "runs, spread", "on")
ABOUT = """\
Ratio: our time divided by the other's, the median over alternating runs; below 1 is faster.
Spread: the interquartile range divided by the median."""


def written(page: str, rows: Sequence[Row], today: date) -> str:
    """The page with these rows in place of all rows of the same waits."""
    new = {row.wait for row in rows}
    lines = [(wait, line) for wait, line in _lines(section_of(page, TITLE)) if wait not in new]
    lines += [(row.wait, _line([*row.cells(), today.isoformat()])) for row in rows]
    order = list(Wait)
    table = [line for _, line in sorted(lines, key=lambda each: order.index(each[0]))]
    body = [ABOUT, "", f"Last measured on {machine()}.", "", _line(HEAD), _line(["---"] * len(HEAD)), *table]
    return with_section(page, "\n".join([f"## {TITLE}", "", *body]))


def on_screen(rows: Sequence[Row]) -> str:
    """The table for a terminal: aligned columns, each wait's name once."""
    table = [HEAD[:-1], *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(HEAD) - 1)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in table
    ]
    return "\n".join(lines)


def machine() -> str:
    """A description of this machine, without its name."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{system}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _lines(section: str) -> list[tuple[Wait, str]]:
    """(line, wait) for each line of the page's table."""
    waits = {str(wait): wait for wait in Wait}
    found = [(line.split(" | ")[0].removeprefix("| "), line) for line in section.splitlines()]
    return [(waits[first], line) for first, line in found if first in waits]
