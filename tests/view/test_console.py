"""What others wrote (a colleague's tag, a proxy's message) does not reach the terminal as commands."""

from __future__ import annotations

import sys

import pytest
from rich.table import Table
from rich.text import Text

from gpu_box.cli.context import show
from gpu_box.view import console
from gpu_box.view.progress import PlainLines

TITLE = "ada\x1b]0;owned\x07 \x9b2J\u202e"
SHOWN = "ada\\x1b]0;owned\\x07 \\x9b2J\\u202e"


@pytest.fixture
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for made in (console.output, console.progress):
        made.cache_clear()


@pytest.mark.usefixtures("_anew")
def test_a_table_a_line_a_note_and_a_question_show_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table.grid()
    table.add_row(Text(TITLE), "[good]up[/]")  # as wide as the text that was measured: it is cut
    show(table)
    show(f"{TITLE} is yours")
    PlainLines().note(TITLE)
    console.progress().print(Text(TITLE))
    captured = capsys.readouterr()
    assert captured.out == f"ada\\x1b]0;owneup\n{SHOWN} is yours\n"
    notes = captured.err.splitlines()
    assert notes[0] == f"  note  {SHOWN}" and notes[1] == SHOWN.replace("\\x07", "")  # rich drops a bell
    assert console.fitted(f"Remove {TITLE}?", sys.stderr) == f"Remove {SHOWN}?"
