"""The frame of `make bench`: rows become lines of docs/performance.md, and nothing else of it changes.

Nothing is measured here.
"""

from __future__ import annotations

import inspect
import math
from datetime import date
from importlib import import_module

import pytest
from benchmarks import page
from benchmarks.__main__ import PARTS
from benchmarks.measure import Times, in_turns, seconds
from benchmarks.row import Row, Wait

from tests.paths import ROOT

TODAY = date(2026, 11, 24)
HELP = Row(
    wait=Wait.COMMAND, what="`gpu-box --help`", ours="90 ms", beside="imports alone 75 ms", ratio=1.2,
    aim="1.3", met=True, runs="20, 4 %",
)  # fmt: skip
FIRST = Row(wait=Wait.SYNC, what="first | of many", ours="2.10 s", ratio=1.4, aim="1.1", met=False)
PAGE = "# Performance\n\nWords.\n\n## Training\n\n|  a |\n|---|\n\n### Inside\n\n## Watching\n\nMore words.\n"


def test_rows_make_a_section_of_their_own_and_the_others_stay_as_they_are() -> None:
    made = page.written(PAGE, [FIRST, HELP], TODAY)
    assert made.startswith(PAGE)
    assert (
        "| the command starts | `gpu-box --help` | 90 ms | imports alone 75 ms | 1.20 | 1.3 | yes | 20, 4 % "
        "| 2026-11-24 |\n| sync | first \\| of many | 2.10 s |  | 1.40 | 1.1 | no |  | 2026-11-24 |"
    ) in made


def test_a_part_that_was_measured_again_replaces_its_own_lines_alone() -> None:
    once = page.written(PAGE, [FIRST, HELP], date(2026, 11, 1))
    faster = Row(wait=Wait.SYNC, what="all", ours="1 ms")
    again = page.written(once, [faster], TODAY)
    assert "2.10 s" not in again
    assert "| sync | all | 1 ms |  |  |  |  |  | 2026-11-24 |" in again
    assert "| 20, 4 % | 2026-11-01 |" in again
    assert again.count(f"## {page.TITLE}") == 1
    assert page.written(again, [faster], TODAY) == again


def test_the_page_of_the_documentation_takes_the_table() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    made = page.written(text, [HELP], TODAY)
    for section in text.split("\n## ")[1:]:
        if not section.startswith(page.TITLE):
            assert section.strip() in made


def test_the_screen_has_every_row_in_columns() -> None:
    head, *lines = page.on_screen([HELP, FIRST]).splitlines()
    assert [line.index("1.") for line in lines] == [head.index("ratio")] * 2


@pytest.mark.parametrize("name", PARTS)
def test_every_part_that_is_named_can_be_run(name: str) -> None:
    rows = import_module(f"benchmarks.{PARTS[name]}").rows
    assert not [p for p in inspect.signature(rows).parameters.values() if p.default is p.empty]


def test_a_ratio_is_that_of_runs_of_one_turn() -> None:
    """Twice as slow in every turn, on a machine that becomes ten times slower meanwhile."""
    clock = iter([1, 2, 3, 6, 10, 20, 10, 20])
    times = in_turns({"a": lambda: next(clock), "b": lambda: next(clock)}, 4)
    assert times["b"].against(times["a"]) == 2
    assert math.isclose(Times((1, 2, 3, 10)).median, 2.5)


def test_times_read_well() -> None:
    assert [seconds(s) for s in (0.0656, 1.4, 125)] == ["66 ms", "1.40 s", "2 min 05 s"]
