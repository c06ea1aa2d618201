"""A second project whose config names the same box is asked about."""

from __future__ import annotations

from pathlib import Path

from gpu_box.store import last_project


def test_the_other_project_is_named_until_remembered_and_only_while_it_is_there(tmp_path: Path) -> None:
    memory, mine, other = (tmp_path / name for name in ("memory", "mine", "other"))
    mine.mkdir()
    other.mkdir()
    assert last_project.other(memory, mine) is None
    last_project.remember(memory, mine)
    assert last_project.other(memory, mine) is None
    assert last_project.other(memory, other) == mine
    assert last_project.other(memory, other) == mine, "until it is agreed to"
    last_project.remember(memory, other)
    assert last_project.other(memory, other) is None
    other.rmdir()
    assert last_project.other(memory, mine) is None, "a project that was moved or removed"


def test_the_memory_of_an_earlier_version_names_its_config(tmp_path: Path) -> None:
    memory, mine = tmp_path / "memory", tmp_path / "mine"
    mine.mkdir()
    (mine / "config.yaml").touch()
    memory.write_text(str(mine / "config.yaml"))
    assert last_project.other(memory, mine) is None
    assert last_project.other(memory, tmp_path) == mine
