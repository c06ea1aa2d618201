"""The Python version that a project asks for: what is sent to the box, what is refused before anything bills,
and the environment that the box makes of it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.config.model import Config, Sync
from gpu_box.errors import InputError
from gpu_box.machine import project_python, setup
from gpu_box.machine.ssh.connection import connect

from .conftest import Recorder, copy_of_remote, host_of
from .test_project_steps import UV, wheel


@pytest.fixture
def config(tmp_path: Path) -> Config:
    source = tmp_path / "project"
    source.mkdir()
    return Config(path=source / "config.yaml", sync=Sync(source=source))


def project(config: Config, **files: str) -> Config:
    names = {"version": ".python-version", "pyproject": "pyproject.toml", "lock": "uv.lock"}
    for name, text in files.items():
        (config.sync.source / names[name]).write_text(text)
    return config


def requires(python: str) -> str:
    return f'[project]\nname = "mine"\nversion = "0"\nrequires-python = "{python}"\n'


@pytest.mark.parametrize(
    "files, asked",
    [
        ({}, ""),
        ({"version": "3.12\n"}, "==3.12.*,>=3.11,<3.15"),
        ({"version": "# ours\n\n3.12.4 # as in CI\n3.11\n"}, "==3.12.4,>=3.11,<3.15"),
        ({"version": "cpython-3.13", "pyproject": requires(">=3.11")}, "==3.13.*,>=3.11,<3.15"),
        ({"version": "3"}, "==3.*,>=3.11,<3.15"),
        ({"version": "\n"}, ""),
        ({"version": "\x1b[31m$(reboot)"}, ""),
        ({"pyproject": requires(">=3.9")}, ">=3.9,>=3.11,<3.15"),
        ({"pyproject": requires(">= 3.12, < 3.13")}, ">= 3.12, < 3.13,>=3.11,<3.15"),
        ({"pyproject": requires("~=3.12")}, "~=3.12,>=3.11,<3.15"),
        ({"pyproject": requires("~=3.12.1")}, "~=3.12.1,>=3.11,<3.15"),
        ({"pyproject": requires("!=3.11.*,>=3.10")}, "!=3.11.*,>=3.10,>=3.11,<3.15"),
        ({"pyproject": requires(">=3.14.0rc1")}, ">=3.14.0rc1,>=3.11,<3.15"),
        ({"pyproject": "[project\n"}, ""),
        ({"pyproject": "project = 3\n"}, ""),
        ({"pyproject": "[tool.black]\n"}, ""),
        ({"version": "3.9", "lock": ""}, ""),
    ],
)
def test_what_the_project_asks_for_is_what_uv_is_asked(
    config: Config, files: dict[str, str], asked: str
) -> None:
    assert project_python.read(project(config, **files)) == asked
    assert setup.desired(config, market="on-demand").python_version == asked


@pytest.mark.parametrize(
    "files, where",
    [
        ({"version": "3.9"}, ".python-version"),
        ({"version": "3.99.1"}, ".python-version"),
        ({"version": "2.7.18"}, ".python-version"),
        ({"version": "pypy@3.11"}, ".python-version"),
        ({"version": "3.13t"}, ".python-version"),
        ({"pyproject": requires("<3.11")}, "pyproject.toml"),
        ({"pyproject": requires(">=3.15")}, "pyproject.toml"),
        ({"pyproject": requires("~=3.10.0")}, "pyproject.toml"),
        ({"pyproject": requires("==3.12.*,==3.13.*")}, "pyproject.toml"),
    ],
)
def test_a_version_that_the_box_cannot_have_is_refused_in_one_line(
    config: Config, files: dict[str, str], where: str
) -> None:
    project(config, **files)
    with pytest.raises(InputError) as caught:
        project_python.read(config)
    said = str(caught.value)
    assert where in said and "3.11 to 3.14" in said and "`uv lock`" in said and "\n" not in said.strip()
    assert caught.value.exit_code == 2
    assert setup.desired(config, market="on-demand").python_version == "", "`status` works all the same"
    assert project_python.read(replace(config, python="none")) == ""
    assert project_python.read(replace(config, path=None)) == "", "without a config there is no project"


def test_files_that_cannot_be_read_ask_for_nothing(config: Config) -> None:
    (config.sync.source / ".python-version").mkdir()
    os.mkfifo(config.sync.source / "pyproject.toml")
    assert project_python.read(config) == ""


def other_pythons() -> list[dict[str, str]]:
    """Two Pythons of this computer that uv finds, of different versions."""
    listed = subprocess.run(
        [UV, "python", "list", "--only-installed", "--all-versions", "--output-format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ).stdout
    found = {each["version"]: each for each in json.loads(listed or "[]")}
    fit = [
        found[version] for version in found if (3, 11) <= tuple(map(int, version.split(".")[:2])) < (3, 15)
    ]
    if len(fit) < 2:
        pytest.skip("needs two versions of Python from 3.11 on")
    return fit[:2]


def test_the_box_s_environment_has_the_python_that_the_project_asks_for(
    make_machine: Callable[..., OpenSshMachine], tmp_path: Path, config: Config
) -> None:
    first, second = other_pythons()
    machine = make_machine()
    remote = copy_of_remote(tmp_path, "python")
    index = tmp_path / "index"
    index.mkdir()
    wheel(index, "small", "1.0")
    (remote / "setup/requirements.txt").write_text(f"--no-index\n--find-links {index}\nsmall\n")
    work = tmp_path / "a job runs"
    with (remote / "setup/reboot.py").open("a") as file:
        file.write(f"\ndef running_work():\n    return ['a job'] if os.path.exists({str(work)!r}) else []\n")
    (machine.home / ".local/bin").mkdir(parents=True)
    for number, python in enumerate((first, second)):
        (machine.home / f".local/bin/python3.{number}").symlink_to(python["path"])
    (machine.home / ".local/bin/uv").symlink_to(UV)

    def up(version: str, *, done: bool = True) -> Recorder:
        desired = replace(setup.desired(project(config, version=version), market="on-demand"), remote=remote)
        report = Recorder()
        with connect(host_of(machine)) as connection:
            state = setup.check(connection, desired)
            if state.needs_work:
                assert setup.apply(connection, state, desired, report).needs_work is not done
        return report

    def has() -> str:
        code = "import platform, small; print(platform.python_version())"
        python = machine.home / ".gpu-box/venv/bin/python"
        return subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True).stdout.strip()

    up(first["version"])
    assert has() == first["version"]
    work.touch()
    later = up(second["version"], done=False)
    assert "comes at a later `up`: a job is running" in str(later.events)
    assert has() == first["version"]
    work.unlink()
    installed = machine.home / ".gpu-box/steps/environment.json"
    installed.write_text('{"fingerprint": "of requirements.txt", "line": ""}')
    up(second["version"])
    assert has() == second["version"]
    assert "of requirements.txt" not in installed.read_text(), "they are installed again"
    (machine.home / ".gpu-box/venv/kept").touch()
    assert not up(second["version"]).events
    up("3")
    assert (machine.home / ".gpu-box/venv/kept").exists(), "a Python that fits stays"
