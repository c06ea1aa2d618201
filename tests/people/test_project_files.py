"""Files of a project as other tools write them: pyenv's names, PowerShell's UTF-16, variables in paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpu_box.config.model import Config, Sync
from gpu_box.config.read import parse
from gpu_box.errors import ConfigError, InputError
from gpu_box.machine import project_python


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(path=tmp_path / "config.yaml", sync=Sync(source=tmp_path))


# uv#11544, uv PR 7935: pyenv-virtualenv writes names into .python-version
@pytest.mark.parametrize("name", ["myenv", "myproject-3.12", "system", "miniconda3-latest", "3x", "nightly"])
def test_a_name_of_pyenv_is_no_python_version(config: Config, name: str) -> None:
    (config.sync.source / ".python-version").write_text(f"{name}\n")
    assert project_python.read(config) == ""
    (config.sync.source / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.12"\n')
    assert project_python.read(config) == ">=3.12,>=3.11,<3.15"


# Relatives: the other shapes that pyenv, uv and rye write
@pytest.mark.parametrize(
    "version", ["v3.12", "python-3.12", "cpython@3.12", "3.12-dev", "cpython-3.12-linux-x86_64-gnu"]
)
def test_a_version_in_another_shape_is_that_version(config: Config, version: str) -> None:
    (config.sync.source / ".python-version").write_text(f"{version}\n")
    assert project_python.read(config) == "==3.12.*,>=3.11,<3.15"


@pytest.mark.parametrize("version", ["pypy3.10", "3.13t", "graalpy-24.1", "3.9-dev"])
def test_a_python_that_the_box_cannot_have_is_refused(config: Config, version: str) -> None:
    (config.sync.source / ".python-version").write_text(f"{version}\n")
    with pytest.raises(InputError, match="the box's own environment can only have 3.11 to 3.14"):
        project_python.read(config)


@pytest.mark.parametrize("asked", ["^3.10", "~3.11", "*", "3.x"])
def test_poetrys_signs_are_no_specifiers(config: Config, asked: str) -> None:
    (config.sync.source / "pyproject.toml").write_text(f'[project]\nrequires-python = "{asked}"\n')
    with pytest.raises(InputError, match=re.escape(f"no version specifier: {asked!r}")):
        project_python.read(config)


# pip#733, uv#2276: PowerShell's `>` writes UTF-16
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_files_that_powershell_wrote_are_read(config: Config, encoding: str) -> None:
    (config.sync.source / "pyproject.toml").write_text(
        '[project]\r\nrequires-python = ">=3.12"\r\n', encoding=encoding
    )
    assert project_python.read(config) == ">=3.12,>=3.11,<3.15"
    (config.sync.source / ".python-version").write_text("3.13\r\n", encoding=encoding)
    assert project_python.read(config) == "==3.13.*,>=3.11,<3.15"


# ghorg#117, home-manager#2946: a folder named $HOME was made
@pytest.mark.parametrize(
    ("line", "variable"),
    [
        ("ssh: {key: $HOME/.ssh/id}", "$HOME"),
        ("env_file: ${HOME}/.env", "${HOME}"),
        ("sync: {source: $PROJECT}", "$PROJECT"),
        ("sync: {results: $HOME/results}", "$HOME"),
    ],
)
def test_a_variable_in_a_path_is_refused_by_name(line: str, variable: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{variable} is not replaced by its value; write ~")):
        parse(f"{line}\n".encode(), Path("config.yaml"))


# compose#103, pyyaml#272: 22:30 and 8022:22 are numbers of base 60 in YAML 1.1
def test_times_and_ports_are_no_numbers_of_base_60() -> None:
    config = parse(b"limits: {stop_at: 22:30}\nports: [8022:22]\n", Path("config.yaml"))
    assert f"{config.limits.stop_at:%H:%M}" == "22:30"
    assert [(port.local, port.remote) for port in config.ports] == [(8022, 22)]
