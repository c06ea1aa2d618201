"""A mistyped command line of every command: one line in our words, or one JSON value."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.console import Console

from gpu_box.aws.client import Cloud
from gpu_box.cli.app import app
from gpu_box.cli.main import main
from gpu_box.cli.watch import watch_live
from gpu_box.config.model import Config
from gpu_box.errors import InputError, MachineError
from gpu_box.view import console

# Words of typer's parser.
RAW = re.compile(
    r"Possible options|\bint\b|x[<>]=|argument\(s\)|requires|Invalid value|Missing|No such|does not take|\?\."
)


def _commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(typer.Context(group)):
        command = group.get_command(typer.Context(group), name)
        if hasattr(command, "list_commands"):
            yield from _commands(command, (*before, name))
        else:
            yield (*before, name), command


def _mistyped() -> Iterator[list[str]]:
    for words, command in _commands(typer.main.get_command(app)):
        yield [*words, "--nonsense"]
        if not any(param.nargs < 0 for param in command.params):
            yield [*words, *["1"] * 9]
        if any(param.required for param in command.params):
            yield [*words]
        for param in command.params:
            option = max(param.opts, key=len)
            if param.param_type_name != "option" or option == "--help":
                continue
            if option.startswith("--"):
                yield [*words, option[:-1]]  # a letter is missing
            if getattr(param, "is_flag", False):
                yield [*words, f"{option}=3"]
            else:
                yield [*words, option]
            if hasattr(param.type, "min"):
                yield from ([*words, option, wrong] for wrong in ("x", "-1", "1.5"))
            if hasattr(param.type, "choices"):
                yield [*words, option, "nonsense", "--", "x"]


@pytest.mark.parametrize("as_json", [False, True], ids=["lines", "json"])
def test_no_usage_error_speaks_in_the_words_of_the_parser(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = list(_mistyped())
    assert len(tried) > 100
    for words in tried:
        code = main(["--json", *words] if as_json else words)
        answer = capsys.readouterr()
        said = answer.err
        if as_json:
            assert answer.err == "", words
            error = json.loads(answer.out)["error"]
            said = f"{error['what']} {error['remedy']}"
        else:
            assert answer.out == "" and len(answer.err.splitlines()) == 1, words
        assert code == 2, words
        assert not RAW.search(said), (words, said)
        assert f"`gpu-box {words[0]}" in said, (words, said)


def test_a_script_gets_one_json_value_also_for_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr("gpu_box.cli.context.Options.cloud", broken)
    assert main(["status", "--json"]) == 1
    answer = capsys.readouterr()
    assert "RuntimeError: odd" in json.loads(answer.out)["error"]["what"] and answer.err == ""
    assert main(["run", "--", "true", "--json"]) == 1, "the option is that of the other program"
    answer = capsys.readouterr()
    assert "bug in gpu-box" in answer.err and answer.out == ""


@pytest.mark.parametrize("words", [["sync", "--watch"], ["status", "--watch"]])
def test_a_view_without_end_has_no_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 2
    assert "--watch" in json.loads(capsys.readouterr().out)["error"]["what"]


def test_a_live_view_needs_a_terminal_that_can_be_redrawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(InputError, match=r"TERM is dumb\. Use `gpu-box status`"):
        watch_live(Cloud(Config(region="us-east-1")))


def test_the_live_view_is_never_blank_while_the_box_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asks_for_long(*_: object) -> None:
        assert "reading the state of ada" in capsys.readouterr().out
        raise MachineError("over")

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(console, "output", lambda: Console(force_terminal=True))
    monkeypatch.setattr("gpu_box.box.watch.watch", asks_for_long)
    with pytest.raises(MachineError, match="over"):
        watch_live(Cloud(Config(region="us-east-1", name="ada")))
