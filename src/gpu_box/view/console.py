"""The two consoles: results go to standard output, progress and errors to standard error."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

from gpu_box.errors import GpuBoxError, ReaderGone, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

# A pipe or a file has no width: wide enough that no line of ours wraps.
_PIPE_WIDTH = 10_000


@cache
def output() -> Console:
    return _console(stderr=False)


@cache
def progress() -> Console:
    return _console(stderr=True)


def print_result(drawn: RenderableType) -> None:
    """Print to standard output; into a pipe or a file, without trailing spaces."""
    console = output()
    if console.is_terminal:
        console.print(drawn)
        return
    with console.capture() as captured:
        console.print(drawn)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def redraws(stream: TextIO) -> bool:
    """Whether it is a terminal that can move its cursor; rich draws nothing on others (Emacs' shell)."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def fitted(text: str, stream: TextIO) -> str:
    """Wrap the text between words, if the stream is a terminal, and keep each line's indentation.

    Control characters become visible: names, tags and messages of others may hold them.
    """
    text = printable(text)
    if not stream.isatty():
        return text
    width, lines = shutil.get_terminal_size().columns, []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)


# Colours (SGR), cursor up and erase in line, which progress bars use. As git's
# sideband.allowControlCharacters=color,cursor,erase, but of the cursor moves only up.
_HARMLESS = re.compile(r"\x1b\[(?:[0-9;:]{0,100}m|[0-9]{0,2}A|[0-2]?K)")
# xterm's ctlseqs.txt: strings up to their terminator (OSC, DCS, PM, APC, SOS), control sequences and other
# escapes, each introduced by ESC or by one C1 character; then control characters except tab, LF, CR and
# backspace, and those that turn the direction of writing (CVE-2021-42574).
_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def harmless(line: str) -> str:
    r"""Make escape sequences of a job's line visible (\x1b), except colours and those of progress bars.

    A log may hold sequences that write the clipboard (OSC 52), set the title, or type
    into the shell (DSR, DCS).
    """
    return _SEQUENCE.sub(
        lambda found: found[0] if _HARMLESS.fullmatch(found[0]) else printable(found[0]), line
    )


def split_incomplete(text: str) -> tuple[str, str]:
    """The text, and what at its end may be the beginning of an escape sequence."""
    begin = max(text.rfind(sign) for sign in "\x1b\x90\x98\x9b\x9d\x9e\x9f")
    found = _SEQUENCE.match(text, begin) if begin >= 0 else None
    if found is None or found.end() < len(text):
        return text, ""
    return text[:begin], text[begin:]


@contextmanager
def reader() -> Iterator[None]:
    """Translate errors of a `with` block that prints: ReaderGone if the reader of our output went away,
    GpuBoxError if it cannot be written (a full disk).
    """
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise GpuBoxError(f"the output cannot be written: {error.strerror}") from None


def indented(text: str, style: str = "", *, by: int = 2) -> RenderableType:
    """Indent each line by `by` spaces, also where it wraps."""
    from rich.text import Text

    return inset(Text(text, style=style), by=by)


def inset(drawn: RenderableType, *, by: int = 2) -> RenderableType:
    from rich.padding import Padding

    return Padding(drawn, (0, 0, 0, by), expand=False)


def marked(mark: RenderableType, text: RenderableType) -> RenderableType:
    """A marker and wrapped text."""
    table = grid(2, gap=1)
    table.add_row(mark, text)
    return table


def grid(columns: int, *, label: str = "", gap: int = 2) -> Table:
    """A table without lines, whose last column wraps. label: the style of the column before it."""
    from rich.table import Table

    table = Table.grid(padding=(0, gap, 0, 0))
    for _ in range(columns - 2):
        table.add_column(no_wrap=True)
    table.add_column(style=label, no_wrap=True)
    table.add_column(overflow="fold")
    return table


def stacked(drawn: Sequence[RenderableType]) -> RenderableType:
    """Several renderables, one below the other."""
    from rich.console import Group

    return drawn[0] if len(drawn) == 1 else Group(*drawn)


def _console(*, stderr: bool) -> Console:
    import sys

    from rich.console import Console
    from rich.segment import Segment
    from rich.theme import Theme

    class Harmless(Console):
        """Makes control characters of what it prints visible: a name, tag or message may be another's."""

        def render(self, *drawn: Any, **options: Any) -> Iterator[Segment]:
            for text, style, control in super().render(*drawn, **options):
                yield Segment(text if control else printable(text), style, control)

    stream = sys.stderr if stderr else sys.stdout
    replace_unencodable(stream)
    # Readable on light and dark backgrounds: yellow vanishes on white, and bright black is the background
    # of Solarized's dark theme.
    theme = Theme({"good": "green", "bad": "red", "warn": "magenta", "quiet": "dim", "what": "bold"})
    return Harmless(
        stderr=stderr,
        theme=theme,
        highlight=False,
        emoji=False,  # show `:cloud:` in the box's output unchanged
        soft_wrap=not stream.isatty(),  # only a terminal wraps
        no_color=None if "NO_COLOR" not in os.environ else True,
        width=None if stream.isatty() else _PIPE_WIDTH,
    )


def replace_unencodable(stream: TextIO) -> None:
    """Print ? for a character that the stream's encoding lacks."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
