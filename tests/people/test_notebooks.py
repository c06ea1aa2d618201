"""Notebooks as people have them, as jobs on the box: executed, or refused at once with the reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.paths import REMOTE

GOOD = nbformat.writes(new_notebook(cells=[new_code_cell("print('it ran')")]))
_REFUSED = 3


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """As on the box, with a kernel of this Python."""
    kernel = tmp_path / ".gpu-box/jupyter/share/kernels/python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "work" / "results").mkdir(parents=True)
    return tmp_path


def execute(home: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, REMOTE / "jupyter" / "execute.py", *words],
        cwd=home / "work",
        env={**os.environ, "HOME": str(home), "JUPYTER_PLATFORM_DIRS": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout


def checked(home: Path, content: str | bytes, name: str = "n.ipynb") -> tuple[int, str]:
    path = home / "work" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return execute(home, "--check", name)


def with_metadata(**metadata: Any) -> str:
    return json.dumps({**json.loads(GOOD), "metadata": metadata})


# Relatives of aws-cli#3419: saved by an editor of Windows, or by PowerShell's `>`
@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.encode("utf-16"),
        GOOD.replace("\n", "\r\n").encode(),
        # papermill#735, papermill#581, botorch PR 555: no kernel, or one without a language
        with_metadata().encode(),
        with_metadata(kernelspec={"name": "python3", "display_name": "x"}).encode(),
        with_metadata(kernelspec={"name": "", "display_name": "x"}).encode(),
    ],
)
def test_a_notebook_in_any_form_that_jupyter_has_is_taken(home: Path, content: bytes) -> None:
    assert checked(home, content) == (0, "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "it is a pointer of Git LFS"),
        (f"{GOOD}\n<<<<<<< HEAD\n".replace("{\n", "{\n<<<<<<< HEAD\n", 1), "line 2 is a conflict of git"),
        (b"\xff\xfe\xff", "can't decode"),
    ],
)
def test_another_file_of_that_name_is_refused_with_what_it_is(
    home: Path, content: str | bytes, why: str
) -> None:
    status, said = checked(home, content)
    assert status == _REFUSED and "~/work/n.ipynb is no notebook: " in said and why in said


# papermill#638, tripyview PR 217: the kernel is named for an environment of the laptop
@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"name": "py39_new", "display_name": "x", "language": "python"}},
        {"kernelspec": {"name": "conda-env-a", "display_name": "x"}, "language_info": {"name": "python"}},
    ],
)
def test_a_kernel_of_the_laptops_environment_becomes_the_boxs(home: Path, metadata: dict[str, Any]) -> None:
    assert checked(home, with_metadata(**metadata))[0] == 0
    status, said = execute(home, "n.ipynb")
    name = metadata["kernelspec"]["name"]
    assert status == 0 and f"the box has no kernel '{name}', its own (python3) is used" in said
    assert "it ran" in said


@pytest.mark.parametrize("language", ["julia", "R", ""])
def test_one_of_another_language_is_refused(home: Path, language: str) -> None:
    kernel = {"name": "other-1.10", "display_name": "x", "language": language}
    status, said = checked(home, with_metadata(kernelspec=kernel))
    assert status == _REFUSED and "which the box does not have (it has: python3)" in said


# notebook#7823, notebook#7659, cocalc#824, nbviewer#969, notebook#1029, kernel_gateway#352
@pytest.mark.parametrize(
    "name",
    ["A%20B.ipynb", "a#b.ipynb", "back\\slash.ipynb", "train+test.ipynb", "it's.ipynb", "Тест.ipynb",
     "-dash.ipynb", "a:b.ipynb", "f?x/n.ipynb", "x.IPYNB"],
)  # fmt: skip
def test_a_notebook_of_any_name_is_found(home: Path, name: str) -> None:
    assert checked(home, GOOD, name)[0] == 0


def test_and_executed_and_saved_under_it(home: Path) -> None:
    (home / "work" / "A%20B#c+.ipynb").write_text(GOOD)
    status, said = execute(home, "A%20B#c+.ipynb")
    assert status == 0 and "it ran" in said
    assert (home / "work" / "results" / "A%20B#c+.ipynb").exists()


# jupyter_client#269, notebook#5956, jupyterlab-desktop#859: the kernel's Python is gone
def test_a_kernel_whose_python_is_gone_is_named(home: Path) -> None:
    folder = home / ".gpu-box/jupyter/share/kernels/gone"
    folder.mkdir()
    argv = ["/nowhere/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    (home / "work" / "n.ipynb").write_text(with_metadata(kernelspec={"name": "gone", "display_name": "x"}))
    status, said = execute(home, "n.ipynb")
    assert status == 1 and "the kernel gone does not start" in said
