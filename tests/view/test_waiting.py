"""Before the first output: a spinner on a terminal, nothing elsewhere; it is cleared before a result."""

from __future__ import annotations

import subprocess
import sys

from .conftest import OnTerminal
from .test_progress import lines_of

SOURCE = """
import time
from gpu_box.view import progress
from gpu_box.cli.context import show
progress.show_status("asking AWS")
time.sleep({pause})
show("There is no box.")
"""


def test_a_command_that_takes_its_time_says_what_it_waits_for(on_terminal: OnTerminal) -> None:
    status, written = on_terminal(SOURCE.format(pause=1))
    assert status == 0
    assert "asking AWS" in written
    assert lines_of(written) == ["There is no box."]


def test_a_quick_one_shows_its_result_alone(on_terminal: OnTerminal) -> None:
    assert on_terminal(SOURCE.format(pause=0))[1] == "There is no box.\r\n"


def test_a_dumb_terminal_and_a_pipe_get_nothing(on_terminal: OnTerminal) -> None:
    assert on_terminal(SOURCE.format(pause=1), TERM="dumb")[1] == "There is no box.\r\n"
    piped = subprocess.run([sys.executable, "-c", SOURCE.format(pause=1)], capture_output=True, text=True)
    assert (piped.stdout, piped.stderr) == ("There is no box.\n", "")


def test_on_a_terminal_a_line_is_broken_between_words_and_stays_indented(on_terminal: OnTerminal) -> None:
    words = "  " + " ".join(["deadline"] * 20)
    lines = on_terminal(f"from gpu_box.cli.context import show; show({words!r})")[1].split("\r\n")
    assert max(map(len, lines)) <= 80
    assert all(line.startswith("  deadline") for line in lines[:-1])
    assert " ".join(" ".join(lines).split()) == words.strip()
