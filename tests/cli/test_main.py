"""Words to a command, and what a user sees when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpu_box import __version__
from gpu_box.cli.main import hoist_global_options, main


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("status --json", "--json status"),
        ("status --name a", "--name a status"),
        ("--local up --yes", "--local --yes up"),
        ("up --config=x.yaml", "--config=x.yaml up"),
        ("run -- python x.py --name y", "run -- python x.py --name y"),
        ("run --json -- ls --json", "--json run -- ls --json"),
        ("run python x.py --json", "run python x.py --json"),
        ("ssh ls --json", "ssh ls --json"),
        ("ssh --local -- ls", "--local ssh -- ls"),
        ("tunnel 6006 --local-port 7", "tunnel 6006 --local-port 7"),
        ("train --epochs 3", "train --epochs 3"),
    ],
)
def test_global_options_may_stand_anywhere_but_in_another_program_s_words(typed: str, read: str) -> None:
    assert hoist_global_options(typed.split()) == read.split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["upp"], "No such command 'upp'"),
        (["up", "--jsno"], "No such option"),
        (["tunnel", "99999"], "65535"),
        (["--config", "absent.yaml", "plan"], "absent.yaml"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    answer = capsys.readouterr()
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gpu-box {__version__}\n"


def test_help_loads_no_library_that_help_does_not_need() -> None:
    """What makes `--help` slow is what it imports: AWS's SDK, SSH, YAML, the embedded cloud, rich."""
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
    if done.returncode:  # a POSIX shell need not take a hyphen in a function's name; bash and zsh do
        done = subprocess.run(
            ["bash", "-c", script, "bash", printed], capture_output=True, text=True, check=True
        )
    assert done.stdout == "--name|a b|up|--name|a b|stop|--name|a b|jupyter|"
