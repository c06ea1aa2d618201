"""The two consoles: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from functools import cache
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Wide enough for a whole line of ours: a pipe or a file has no width, and must not be wrapped.
_PIPE_WIDTH = 10_000


@cache
def output() -> Console:
    return _console(stderr=False)


@cache
def progress() -> Console:
    return _console(stderr=True)


def print_result(drawn: RenderableType) -> None:
    """On standard output. Into a pipe or a file without the blanks that fill a table's lines."""
    console = output()
    if console.is_terminal:
        console.print(drawn)
        return
    with console.capture() as captured:
        console.print(drawn)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def fitted(text: str, stream: TextIO) -> str:
    """Plain text for that stream: on a terminal broken between words, the rest under a line's beginning."""
    if not stream.isatty():
        return text
    width, lines = shutil.get_terminal_size().columns, []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)


# Colours (SGR), and what progress bars redraw with: cursor up, erase in line. As git's
# sideband.allowControlCharacters=color,cursor,erase, but up alone: sideways no bar goes.
_HARMLESS = re.compile(r"\x1b\[(?:[0-9;:]{0,100}m|[0-9]{0,2}A|[0-2]?K)")
# By xterm's ctlseqs.txt: strings up to their terminator (OSC, DCS, PM, APC, SOS), control sequences, other
# escapes; each by ESC or as one C1 character. Then all other control characters but tab, line feed, return.
_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


def harmless(line: str) -> str:
    """A job's line for a terminal: colours and progress bars stay, whatever else it would obey goes.

    A log can hold what somebody else put there: the clipboard (OSC 52), the title, an answer typed into the
    shell (DSR, DCS).
    """
    return _SEQUENCE.sub(lambda found: found[0] if _HARMLESS.fullmatch(found[0]) else "", line)


def indented(text: str, style: str = "", *, by: int = 2) -> RenderableType:
    """So many blanks before each of its lines, also where it is broken."""
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style=style), (0, 0, 0, by), expand=False)


def marked(mark: RenderableType, text: RenderableType) -> RenderableType:
    """A sign, and beside it what it stands for, however long."""
    from rich.table import Table

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(mark, text)
    return table


def stacked(drawn: list[RenderableType]) -> RenderableType:
    """One below the other; one alone is itself."""
    from rich.console import Group

    return drawn[0] if len(drawn) == 1 else Group(*drawn)


def _console(*, stderr: bool) -> Console:
    import sys

    from rich.console import Console
    from rich.theme import Theme

    stream = sys.stderr if stderr else sys.stdout
    never_refuse(stream)
    # Readable on light and dark grounds: no yellow, which white swallows, and no bright black, which is the
    # very ground of Solarized's dark theme.
    theme = Theme({"good": "green", "bad": "red", "warn": "magenta", "quiet": "dim", "what": "bold"})
    return Console(
        stderr=stderr,
        theme=theme,
        highlight=False,
        emoji=False,  # what the box says is shown as it is, `:cloud:` too
        soft_wrap=not stream.isatty(),  # a terminal of its own would break within words
        no_color=None if "NO_COLOR" not in os.environ else True,
        width=None if stream.isatty() else _PIPE_WIDTH,
    )


def never_refuse(stream: TextIO) -> None:
    """A sign that its encoding does not know becomes ?, and ends nothing."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
