"""Commands that messages suggest repeat the global options that the user gave."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpu_box.cli.main import main
from gpu_box.errors import CloudError
from gpu_box.view import hints
from gpu_box.view.error import print_error
from gpu_box.view.progress import make_reporter


@pytest.fixture(autouse=True)
def given() -> Iterator[None]:
    hints.remember(config="my project/config.yaml", name="big", local=True)
    yield
    hints.forget()


OPTIONS = "--config 'my project/config.yaml' --name big --local"


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("`gpu-box up` creates it", f"`gpu-box {OPTIONS} up` creates it"),
        ("`gpu-box ssh -- nvidia-smi`", f"`gpu-box {OPTIONS} ssh -- nvidia-smi`"),
        ("`gpu-box --name old down`", "`gpu-box --config 'my project/config.yaml' --local --name old down`"),
        ("`gpu-box local stop`", "`gpu-box local stop`"),
        ("run gpu-box", "run gpu-box"),
        ("tagged `gpu-box:owner`", "tagged `gpu-box:owner`"),
    ],
)
def test_a_suggested_command_repeats_the_options_that_it_does_not_give_itself(
    text: str, completed: str
) -> None:
    assert hints.complete(text) == completed


def test_without_options_a_hint_stays_as_it_is() -> None:
    hints.forget()
    assert hints.complete("`gpu-box up` creates it") == "`gpu-box up` creates it"


def test_errors_and_notes_repeat_them(capsys: pytest.CaptureFixture[str]) -> None:
    error = CloudError("there is no box", remedy="`gpu-box up` creates it.")
    print_error(error)
    print_error(error, as_json=True)
    make_reporter().note("`gpu-box up` creates it")
    shown = capsys.readouterr()
    assert shown.err.count(f"`gpu-box {OPTIONS} up`") == 2
    assert OPTIONS in shown.out


def test_the_command_line_remembers_what_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--config", "absent.yaml", "--name", "other"]) == 2
    assert "`gpu-box --config absent.yaml --name other init` writes" in capsys.readouterr().err
    assert hints.complete("`gpu-box up`") == "`gpu-box up`", "the next command has its own"


def test_a_mistyped_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    hints.forget()
    assert main(["statsu"]) == 2
    assert "did you mean 'status'? `gpu-box --help`" in capsys.readouterr().err
