"""Arguments of commands, and the messages for wrong ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gpu_box import __version__
from gpu_box.cli.app import app
from gpu_box.cli.main import main, split_global_options


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("status --json", "--json status"),
        ("status --name a", "--name a status"),
        ("--local up --yes", "--local --yes up"),
        ("up --config=x.yaml", "--config=x.yaml up"),
        ("run -- python x.py --name y", "run -- python x.py --name y"),
        ("run x.ipynb -p a=1 --json", "--json run x.ipynb -p a=1"),
        ("run --json -- ls --json", "--json run -- ls --json"),
        ("run python x.py --json", "run python x.py --json"),
        ("ssh ls --json", "ssh ls --json"),
        ("ssh --local -- ls", "--local ssh -- ls"),
        ("tunnel 6006 --json 8080:7860", "--json tunnel 6006 8080:7860"),
        ("train --epochs 3", "train --epochs 3"),
    ],
)
def test_global_options_may_stand_anywhere_but_in_another_program_s_words(typed: str, read: str) -> None:
    given, rest = split_global_options(typed.split())
    assert given + rest == read.split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tunnel", "99999"], "tunnel: 99999 is not a port: 1 to 65535"),
        (["tunnel", "0"], "tunnel: 0 is not a port: 1 to 65535"),
        (["tunnel", "8080:"], "'8080:' is not a port such as 6006, or LAPTOP:BOX such as 8080:7860"),
        (["tunnel", "1:2:3"], "'1:2:3' is not a port such as 6006, or LAPTOP:BOX"),
        (["tunnel", "80"], "port 80 of this laptop needs root; give a higher one, such as 8080:80"),
        (["tunnel", "8080:1", "8080:2"], "tunnel: port 8080 of this laptop is there twice"),
        (["upp"], "no command 'upp'"),
        (["stpo"], "no command 'stpo'; did you mean 'stop'? `gpu-box --help`"),
        (["up", "now", "here"], "too many arguments: now here. `gpu-box up --help`"),
        (["up", "--jsno"], "no option --jsno"),
        (["status", "--wach"], "no option --wach; did you mean --watch? `gpu-box status --help`"),
        (["run", "--job"], "--job needs a value. `gpu-box run --help`"),
        (["status", "--watch=3"], "--watch takes no value. `gpu-box status --help`"),
        (["status", "--name"], "--name needs a value"),
        (["keep", ""], "an argument is empty: how long from now: 45m, 3h, 1d. Is a variable unset?"),
        (["pull", "--name=", "x"], "--name has an empty value. Is a variable unset? `gpu-box --help`"),
        (["status", "--json=", "x"], "--json takes no value"),
        (["pull", "/etc/passwd"], "/etc/passwd: the path must be below ~/work"),
        (["pull", "~/work/results"], "must be below ~/work, without `..`. Name it as seen from there"),
        (["run", "--", " "], "run: the command is empty. Is a variable unset?"),
        (["ssh", "--", " "], "ssh: the command is empty. Is a variable unset?"),
        (["run", "--pull", "[", "--", "x"], "--pull: a pattern cannot be read: '[' has a [ without its ]"),
        (["keep", "0"], "'0' is not a duration such as 30m, 2h or 1h30m. Give"),
        (["up", "--wait", "0"], "--wait: '0' is not a duration such as 30m, 2h or 1h30m. Give"),
        (["--config"], "--config needs a value"),
        (["extend"], "an argument is missing: how much later: 45m, 2h, 1d. `gpu-box extend --help`"),
        (["train", "--epochs", "0"], "--epochs: 0 is out of range: 1 or more"),
        (["train", "--gpus", "2"], "--gpus is for jobs of the queue; without --queue a job sees all GPUs"),
        (["train", "--queue", "--then", "down"], "the jobs that wait in its queue. Use --then stop"),
        (["train", "--epochs", "x"], "--epochs: 'x' is not a whole number"),
        (["run", "--then", "stpo", "--", "x"], "--then: 'stpo' is not one of 'stop', 'down'"),
        (["--config", "absent.yaml", "plan"], "absent.yaml"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    answer = capsys.readouterr()
    assert said in " ".join(answer.err.split())
    assert "Traceback" not in answer.err and "unexpected" not in answer.err and "?." not in answer.err
    assert answer.out == ""


def _places_of_a_word() -> Iterator[list[str]]:
    """Each command line with "" for one argument or option, of all that take a word."""
    group: Any = typer.main.get_command(app)
    commands = [([], group), *(([name], group.get_command(None, name)) for name in group.commands)]
    for path, command in commands:
        arguments: list[str] = []
        for param in command.params:
            if param.param_type_name == "argument":
                yield [*path, *arguments, ""]
                arguments.append("x")
            elif not param.is_flag:
                yield [*path, param.opts[0], "", *(["status"] if not path else [])]


@pytest.mark.parametrize("words", [*_places_of_a_word()], ids=" ".join)
def test_an_unset_variable_of_a_script_is_refused_and_means_nothing_else(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`gpu-box keep "$HOURS"` ended the keep."""
    assert main(words) == 2
    answer = capsys.readouterr()
    assert "empty" in answer.err and "Is a variable unset?" in " ".join(answer.err.split())
    assert answer.out == ""


def test_a_program_on_the_box_may_have_empty_arguments() -> None:
    run: Any = typer.main.get_command(app).get_command(None, "run")  # type: ignore[attr-defined]
    read = run.make_context("run", ["--", "python", "x.py", ""]).params["command"]
    assert list(read) == ["python", "x.py", ""]


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ([], "gpu-box"),
        (["--local"], "gpu-box"),
        (["--name", "a"], "gpu-box"),
        (["-h"], "gpu-box"),
        (["help"], "gpu-box"),
        (["local"], "gpu-box local"),
        (["local", "--local"], "gpu-box local"),
        (["local", "-h"], "gpu-box local"),
        (["help", "local"], "gpu-box local"),
        (["help", "local", "env"], "gpu-box local env"),
        (["help", "up"], "gpu-box up"),
        (["help", "run"], "gpu-box run"),
        (["help", "help"], "gpu-box help"),
    ],
)
def test_a_group_without_a_command_and_help_print_the_help_page_and_exit_with_0(
    words: list[str], page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    answer = capsys.readouterr()
    assert answer.out.startswith(f"Usage: {page} [")
    assert answer.err == ""


def test_every_command_has_a_help_page_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    group: Any = typer.main.get_command(app)
    pages = [[name] for name in group.commands] + [["local", name] for name in ("env", "status", "stop")]
    for words in pages:
        for typed in (["help", *words], [*words, "--help"], [*words, "-h"]):
            assert main(typed) == 0, typed
            answer = capsys.readouterr()
            assert answer.out.startswith(f"Usage: gpu-box {' '.join(words)} ["), typed
            assert answer.err == "", typed


@pytest.mark.parametrize(
    "words", [["help", "upp"], ["help", "up", "now"], ["help", "local", "x"], ["local", "x"], ["keep"]]
)
def test_help_of_a_command_that_is_not_there_is_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    answer = capsys.readouterr()
    assert len(answer.err.splitlines()) == 1 and answer.err.startswith("error: ")
    assert "?." not in answer.err and answer.out == ""


@pytest.mark.parametrize("words", [["--json"], ["local", "--json"]])
def test_json_without_a_command_is_an_error_in_json(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert json.loads(capsys.readouterr().out)["error"]["what"] == "a command is missing"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gpu-box {__version__}\n"


def test_help_loads_no_library_that_help_does_not_need() -> None:
    """`--help` is slow if it imports AWS's SDK, SSH, YAML, the embedded cloud or rich."""
    script = (
        "import sys; from gpu_box.cli.main import main; main(['--help']); "
        "print(sorted({m.split('.')[0] for m in sys.modules if m != 'rich'}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "up" in done.stdout
    for heavy in (
        "boto3",
        "botocore",
        "paramiko",
        "fabric",
        "yaml",
        "moto",
        "asyncssh",
        "cryptography",
        "rich.console",
    ):
        assert f"'{heavy}'" not in done.stderr


def test_the_aliases_are_shell_functions_that_a_shell_takes(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "gpu_box", "aliases", "--box", "a b"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    fake = tmp_path / "gpu-box"
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    fake.chmod(0o755)
    script = f'PATH="{tmp_path}:$PATH"; eval "$1"; aws-start; aws-stop; aws-nb'
    done = subprocess.run(["sh", "-c", script, "sh", printed], capture_output=True, text=True)
    if done.returncode:  # a POSIX shell may refuse a hyphen in a function's name; bash and zsh accept it
        done = subprocess.run(
            ["bash", "-c", script, "bash", printed], capture_output=True, text=True, check=True
        )
    assert done.stdout == "--name|a b|up|--name|a b|stop|--name|a b|jupyter|"


def test_the_aliases_repeat_the_options_that_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--local", "--config", "c.yaml", "--name", "x", "aliases"]) == 0
    given = f"gpu-box --local --config {tmp_path}/c.yaml --name x"
    assert f"aws-stop() {{ {given} stop" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["aliases", "skill"])
def test_a_text_is_no_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", command]) == 2
    assert "has no JSON" in json.loads(capsys.readouterr().out)["error"]["what"]
