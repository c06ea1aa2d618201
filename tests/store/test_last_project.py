"""Two projects whose configs name the same box: the second one is told."""

from __future__ import annotations

from pathlib import Path

from gpu_box.store import last_project


def test_the_other_project_is_named_once_and_only_while_it_is_there(tmp_path: Path) -> None:
    memory, mine, other = (tmp_path / name for name in ("memory", "mine.yaml", "other.yaml"))
    mine.touch()
    other.touch()
    assert last_project.other(memory, mine) is None
    assert last_project.other(memory, mine) is None
    assert last_project.other(memory, None) is None, "without a config no project is sent"
    assert last_project.other(memory, other) == mine
    assert last_project.other(memory, other) is None
    other.unlink()
    assert last_project.other(memory, mine) is None, "a project that was moved or removed"
