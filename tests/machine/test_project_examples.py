"""The four kinds of project of docs/project.md: their files and commands, against an index of our own."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_box.config import read
from gpu_box.machine import setup
from tests.paths import ROOT

from .test_project_steps import UV, Box, box, wheel

__all__ = ["box"]

PAGE = (ROOT / "docs" / "project.md").read_text(encoding="utf-8")
_FILE = re.compile(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Example:
    def __init__(self, title: str, folder: Path, box: Box) -> None:
        text = PAGE.split(f"\n### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
        self.folder, self.box = folder, box
        folder.mkdir()
        (folder / "config.yaml").write_text("name: mine\n")
        for name, content in _FILE.findall(text):
            (folder / name).write_text(content)
        self.typed: list[str] = re.findall(r"^\$ (.*)", text, re.MULTILINE)

    def follow(self) -> list[str]:
        """Type everything; returns what the last `gpu-box run` printed."""
        printed: list[str] = []
        for line in self.typed:
            words = shlex.split(line)
            if words == ["gpu-box", "up"]:
                self._up()
            elif words[:2] == ["gpu-box", "run"]:
                [command] = [line.partition(" -- ")[2]]
                printed = self.box.job(f"{command} && echo well", name="run")
                assert printed[-1] == "well", printed
            elif words[0] == "uv":
                subprocess.run([UV, *words[1:]], cwd=self.folder, env=self.box.uv, check=True)
            elif words[0] == "chmod":
                subprocess.run(words, cwd=self.folder, check=True)
            else:
                assert words == ["gpu-box", "jupyter"]
        return printed[:-1]

    def _up(self) -> None:
        """What `up` does after the set-up of the machine: send the folder and the variables, install, run."""
        config = read.load(self.folder / "config.yaml")
        self.box.sync(config)
        asked = setup.desired(replace(config, ssh=self.box.ssh), market="on-demand")
        if asked.env:
            (self.box.home / ".gpu-box").mkdir(exist_ok=True)
            (self.box.home / ".gpu-box/env.sh").write_bytes(asked.env)
        self.box.up(packages=asked.packages, setup=asked.setup, python=asked.python, env=asked.env)


@pytest.fixture
def stocked(box: Box) -> Box:
    """Its index has what the examples name; its own environment has PyTorch."""
    wheel(box.index, "tqdm", "4.67.1")
    wheel(box.index, "torch", "2.13.0")
    box.own_environment()
    install = [UV, "pip", "install", "--quiet", "torch", "ipykernel"]
    venv = str(box.home / ".gpu-box/venv")
    subprocess.run(install, env={**box.uv, "VIRTUAL_ENV": venv}, check=True)
    return box


def test_a_project_with_a_lock(stocked: Box, tmp_path: Path) -> None:
    Example("With a lock", tmp_path / "digits", stocked).follow()
    assert stocked.job('echo "$VIRTUAL_ENV"') == [f"{stocked.home}/.gpu-box/project-venv"]


def test_a_project_with_requirements(stocked: Box, tmp_path: Path) -> None:
    Example("With requirements.txt", tmp_path / "digits", stocked).follow()
    assert stocked.job('echo "$VIRTUAL_ENV"') == [f"{stocked.home}/.gpu-box/venv"]


def test_a_repository_with_a_set_up_script(stocked: Box, tmp_path: Path) -> None:
    example = Example("A repository with a set-up script", tmp_path / "digits", stocked)
    for path in example.folder.iterdir():
        path.write_text(path.read_text().replace("/tmp/digits", str(tmp_path / "data")))
    example.typed = [line.replace("/tmp/digits", str(tmp_path / "data")) for line in example.typed]
    assert example.follow() == ["yes"]


def test_plain_notebooks(stocked: Box, tmp_path: Path) -> None:
    """tests/machine/test_setup.py runs a notebook's kernel on a machine that is set up completely."""
    (stocked.remote / "setup/steps/__init__.py").write_text(
        "from setup import kernels, torch_build\n"
        "from setup.steps import code, env, packages\n"
        "from setup.step import Step\n"
        "packages.REQUIREMENTS.write_text('ipykernel\\n')\n"
        "def install(desired, session):\n"
        "    kernels.write()\n"
        "    return packages.apply(desired, session)\n"
        "ALL = (code.STEP,)\n"
        "PROJECT = (Step('packages', packages.check, install),)\n"
    )
    stocked.refresh()
    Example("Plain notebooks", tmp_path / "digits", stocked).follow()
    spec = json.loads((stocked.home / ".gpu-box/jupyter/share/kernels/python3/kernel.json").read_text())
    code = "import torch, tqdm, ipykernel"
    subprocess.run([spec["argv"][0], "-c", code], check=True)
