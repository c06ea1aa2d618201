"""How long steps took before: what time is left, from a small file that nothing depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_box import pace
from gpu_box.pace import Pace


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path))
    return tmp_path


def test_the_next_command_knows_what_is_usual_and_a_new_line_soon_changes_it() -> None:
    assert Pace("aws").usual("python") is None
    for seconds in (100, 110, 400):
        Pace("aws").note("python", seconds)
    assert Pace("aws").usual("python") == 110
    for seconds in (20, 20, 20):
        Pace("aws").note("python", seconds)
    assert Pace("aws").usual("python") == 20


def test_what_the_embedded_cloud_takes_says_nothing_of_aws() -> None:
    Pace("local").note("instance", 2)
    assert Pace("aws").usual("instance") is None


def test_a_step_that_had_nothing_to_do_leaves_no_time() -> None:
    Pace("aws").note("jupyter", 0.2)
    assert Pace("aws").usual("jupyter") is None


def test_what_files_took_says_nothing_of_the_next_ones() -> None:
    Pace("aws").note("sync", 300)
    assert Pace("aws").usual("sync") is None


def test_two_commands_at_once_lose_nothing_of_each_other() -> None:
    one, other = Pace("aws"), Pace("aws")
    one.note("ssh", 10)
    other.note("python", 60)
    assert (Pace("aws").usual("ssh"), Pace("aws").usual("python")) == (10, 60)


def test_it_stays_small(home: Path) -> None:
    kept = Pace("aws")
    for number in range(3 * pace._MOST_STEPS):
        for _ in range(2):
            kept.note(f"step {number}", 12.345678)
    for _ in range(10):
        kept.note("ssh", 3)
    [file] = (home / "pace").iterdir()
    assert file.stat().st_size < 5000
    assert Pace("aws").usual("ssh") == 3
    assert Pace("aws").usual("step 0") is None


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', '{"a": ["x"]}', '{"a": []}'])
def test_a_broken_file_is_none(home: Path, content: str) -> None:
    (home / "pace").mkdir()
    (home / "pace" / "aws.json").write_text(content)
    known = Pace("aws")
    assert known.usual("a") is None
    known.note("a", 5)
    assert Pace("aws").usual("a") == 5


def test_a_folder_that_cannot_be_written_ends_nothing(home: Path) -> None:
    (home / "pace").write_text("a file is in the way")
    Pace("aws").note("a", 5)
