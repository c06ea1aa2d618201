"""A command reads the project's folder once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.box import up, work
from gpu_box.config.model import Config, Sync
from gpu_box.machine import setup
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.machine import JupyterState, MachineState
from tests.paths import REMOTE

from ..aws.conftest import Laptop, Recorder

_READERS = ("scandir", "listdir")  # os.walk, Path.iterdir and Path.rglob use these


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "train.py").write_text("print(1)")
    (folder / "src" / "model.py").write_text("model")
    return folder


@pytest.fixture
def config(laptop: Callable[..., Laptop], project: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The calls for a box that is set up except for the project."""

    def check(connection: Connection, desired: setup.Desired) -> MachineState:
        upload_remote.upload(connection, REMOTE)
        return MachineState(
            steps=(),
            jupyter=JupyterState(port=8888, answering=True),
            mirror_current=True,
            gpu="",
            project=connection.run("cat ~/.gpu-box/project", check=False).stdout,
        )

    monkeypatch.setattr(setup, "check", check)
    monkeypatch.setattr(MachineState, "needs_work", False)
    return laptop(path=project / "config.yaml", sync=Sync(source=project)).config


@pytest.fixture
def walks(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An entry for each listing of the project's folder or of the folder in it."""
    seen: list[str] = []

    def counted(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(path: Any = ".") -> Any:
            if not isinstance(path, int) and Path(os.fsdecode(path)).is_relative_to(project):
                seen.append(Path(os.fsdecode(path)).name)
            return read(path)

        return reading

    for name in _READERS:
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return seen


def test_up_and_sync_list_each_folder_of_the_project_once(
    config: Config, project: Path, walks: list[str]
) -> None:
    once = ["project", "src"]
    assert up.up(Cloud(config), Recorder()).changed
    assert walks == once, "the first `up` sends it"
    walks.clear()
    assert not up.up(Cloud(config), Recorder()).changed
    assert walks == once, "the second looks whether it changed"
    walks.clear()
    (project / "train.py").write_text("print(2), changed")
    assert up.up(Cloud(config), Recorder()).changed
    assert walks == once, "the third sends what changed"
    walks.clear()
    (project / "train.py").write_text("print(3), changed again")
    assert work.push(Cloud(config), delete=False, report=Recorder()).files == 1
    assert walks == once
    walks.clear()
    assert not up.up(Cloud(config), Recorder()).changed, "`sync` has noted what it sent"
