"""Which of a project's files travel to the box."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_box.box import project
from gpu_box.config.model import Config, Ssh, Sync
from gpu_box.machine.files.selection import select


@pytest.mark.parametrize("name", ["key", "a [key]", "ke*y", "#key", "!key", "k?y", "back\\slash", "ends in "])
def test_the_config_and_the_key_stay_here_and_what_looks_like_them_does_not(
    name: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for path in (name, f"{name}.pub", "keyboard.py", "kexy", "keys/box.yaml", "keys/kay"):
        (tmp_path / path).write_text("")
    config = Config(
        ssh=Ssh(key=tmp_path / name), path=tmp_path / "keys" / "box.yaml", sync=Sync(source=tmp_path)
    )
    assert [entry.path for entry in select(tmp_path, project.excluded(config)).entries] == [
        "kexy", "keyboard.py", "keys/kay",
    ]  # fmt: skip


def test_a_config_beside_the_project_leaves_out_nothing_of_it(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "config.yaml").write_text("of the training itself")
    config = Config(ssh=Ssh(key=tmp_path / "key"), path=tmp_path / "config.yaml", sync=Sync(source=source))
    assert [entry.path for entry in select(source, project.excluded(config)).entries] == ["config.yaml"]
