"""`gpu-box run` with a notebook: which words name one, and what is refused before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_box.box import notebook
from gpu_box.config.model import Config
from gpu_box.errors import InputError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    found = Config(path=tmp_path / "config.yaml")
    (tmp_path / "My lesson.ipynb").touch()
    return replace(found, sync=replace(found.sync, source=tmp_path))


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["lesson1.ipynb"], "lesson1.ipynb"),
        (["./notebooks/lesson1.ipynb"], "notebooks/lesson1.ipynb"),
        (["My lesson.ipynb"], "My lesson.ipynb"),
        (["Lesson.IPYNB", "-p", "a=1"], "Lesson.IPYNB"),
        (["jupyter nbconvert --execute lesson1.ipynb"], None),
        (["python", "tidy.py", "lesson1.ipynb"], None),
        (["cp " + "x" * 5000 + " lesson1.ipynb"], None),
    ],
)
def test_the_first_word_names_a_notebook_or_the_command_is_a_command(
    config: Config, command: list[str], path: str | None
) -> None:
    found = notebook.requested(config, command, ())
    assert (found and str(found.path)) == path


def test_a_full_path_here_is_its_place_in_the_project(config: Config, tmp_path: Path) -> None:
    found = notebook.requested(config, [str(tmp_path / "My lesson.ipynb")], ())
    assert found and str(found.path) == "My lesson.ipynb"


def test_parameters_may_come_before_and_after_and_are_quoted_for_the_shell(config: Config) -> None:
    found = notebook.requested(config, ["a.ipynb", "-p", "b=it's", "-pc=$HOME"], ["a=1"])
    assert found and found.parameters == ("a=1", "b=it's", "c=$HOME")
    assert found.line.endswith(" a.ipynb -p a=1 -p 'b=it'\"'\"'s' -p 'c=$HOME'")


@pytest.mark.parametrize(
    ("command", "parameters", "said"),
    [
        (["a.ipynb", "-p", "lr"], [], "not a notebook's parameter"),
        (["a.ipynb", "-p"], [], "only `-p NAME=VALUE` can follow a notebook"),
        (["a.ipynb"], ["2x=1"], "not a notebook's parameter"),
        (["a.ipynb"], ["import=1"], "not a notebook's parameter"),
        (["a.ipynb"], ["a\nb=1"], "not a notebook's parameter"),
        (["a.ipynb", "--detach"], [], "only `-p NAME=VALUE` can follow a notebook"),
        (["../a.ipynb"], [], "must be in your project"),
        (["/elsewhere/a.ipynb"], [], "must be in your project"),
        ([], [], "there is no command"),
        (["python", "a.py"], ["lr=1"], "-p sets parameters of a notebook"),
    ],
)
def test_what_cannot_be_meant_is_one_line_with_a_remedy(
    config: Config, command: list[str], parameters: list[str], said: str
) -> None:
    with pytest.raises(InputError) as refused:
        notebook.requested(config, command, parameters)
    assert said in str(refused.value).replace("\n", " ")
    assert refused.value.remedy
