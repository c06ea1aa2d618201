"""`init`: four questions with their prices on a terminal, options without one."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_box.cli.main import main
from gpu_box.config.read import load

from ..aws.conftest import Weather, aws, weather
from .terminal import Terminal, ended, terminals

__all__ = ["aws", "weather"]

G = "L-DB2E81BA"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    return tmp_path / "project"


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    """`terminal("--region", "eu-west-1")`: `gpu-box init` in a terminal."""
    with terminals("init") as start:
        yield start


def test_the_four_questions_show_what_their_answers_cost(
    aws: dict[str, str], weather: Weather, folder: Path, terminal: Terminal
) -> None:
    weather(quotas={G: 0})
    person = terminal()
    person.expect(r"eu-west-1 +\$0\.\d+")
    person.expect("an hour of g4dn.xlarge; prices: live, today")
    person.expect(r"AWS region \[us-east-1\]: ")
    person.sendline("us-east-9")
    person.expect("AWS has no region 'us-east-9'")
    person.expect(r"AWS region \[us-east-1\]: ")
    person.sendline("eu-west-1")
    person.expect(r"g5.xlarge +\$\d\.\d\d +A10G \(22 GiB\)")
    person.expect("prices: live, today")
    person.expect(r"Instance type \[g4dn.xlarge\]: ")
    person.sendline("g5.xlrage")
    person.expect("Did you mean g5.xlarge?")
    person.expect(r"Instance type \[g4dn.xlarge\]: ")
    person.sendline("g5.xlarge ")
    person.expect(r"quota: g5.xlarge \(on-demand\): 0 \+ 4 of 0 vCPUs")
    person.expect("doctor --request-quota")
    person.expect(r"\$60.00 a month pays \d\d hours")
    person.expect(r"month \(or none\) \[60\]: ")
    person.sendline("much")
    person.expect("is not an amount")
    person.sendline("30")
    person.expect(r"Maximum run time \[12h\]: ")
    person.sendline("")
    person.expect(r"config.yaml written: g5.xlarge in eu-west-1")
    assert ended(person) == 0
    config = load(folder / "config.yaml")
    assert (config.region, config.instance_types) == ("eu-west-1", ("g5.xlarge",))
    assert config.limits.budget == 30


@pytest.mark.parametrize(
    ("instance_type", "said"),
    [
        ("g4dn.xlrage", "AWS has no instance type 'g4dn.xlrage' in us-east-1. Did you mean g4dn.xlarge?"),
        ("p3.2xlarge", "instance type"),
        ("g6f.large", "1/8 of NVIDIA L4, which needs NVIDIA's GRID driver"),
        ("inf2.xlarge", "the image has a driver for NVIDIA GPUs only"),
    ],
)
def test_a_type_that_no_box_could_have_is_refused_before_the_file_is_written(
    aws: dict[str, str], folder: Path, capsys: pytest.CaptureFixture[str], instance_type: str, said: str
) -> None:
    assert main(["init", "--yes", "--region", "us-east-1", "--type", instance_type]) == 2
    assert said in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_without_credentials_it_says_so_and_shows_the_dated_table(folder: Path, terminal: Terminal) -> None:
    person = terminal("--budget", "none", "--max-hours", "2h")
    person.expect(r"AWS region \[us-east-1\]: ")
    person.sendline("")
    person.expect("prices: us-east-1 table of 20")
    person.expect(r"Instance type \[g4dn.xlarge\]: ")
    person.sendline("")
    person.expect("no AWS credentials found: the vCPU quota was not checked")
    assert ended(person) == 0
    assert load(folder / "config.yaml").limits.budget is None


def test_ctrl_c_at_the_first_or_the_last_question_leaves_nothing(folder: Path, terminal: Terminal) -> None:
    for answered in (0, 3):
        person = terminal()
        for _ in range(answered):
            person.expect(r"\]: ")
            person.sendline("")
        person.expect(r"\]: ")
        person.kill(signal.SIGINT)
        person.expect("nothing was changed")
        assert ended(person) == 130
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("answer", ["", "n"])
def test_a_config_that_is_there_is_replaced_with_consent_alone(
    folder: Path, terminal: Terminal, answer: str
) -> None:
    path = folder / "config.yaml"
    path.write_text("name: mine\n")
    person = terminal()
    person.expect("already exists. Replace it")
    person.sendline(answer)
    assert ended(person) == 2
    assert path.read_text() == "name: mine\n"
    assert main(["init", "--yes"]) == 2, "--yes is no consent to lose a file"
    assert path.read_text() == "name: mine\n"
    person = terminal("--region", "eu-west-1", "--type", "g5.xlarge", "--budget", "9", "--max-hours", "2h")
    person.expect("already exists. Replace it")
    person.sendline("y")
    assert ended(person) == 0
    assert load(path).region == "eu-west-1"


def test_the_flags_answer_every_question(
    aws: dict[str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--region", "eu-west-1", "--type", "g5.xlarge", "--budget", "30", "--max-hours", "3h", "--yes"]
    assert main(["--json", "init", *words]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["path"], answer["region"], answer["instance_type"]) == (
        "config.yaml",
        "eu-west-1",
        "g5.xlarge",
    )
    assert (answer["budget"], answer["max_hours"], answer["prices"]) == ("30", 3 * 3600, "live, today")
    assert [check["ok"] for check in answer["quota"]] == [True]
    assert load(folder / "config.yaml").limits.budget == 30


def test_in_a_sub_folder_of_a_project_it_says_so_and_asks(
    folder: Path,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / ".git").mkdir()
    (folder / "config.yaml").write_text("name: mine\n")
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")
    person = terminal()
    person.expect_exact("[y/N]")
    assert f"{folder}/config.yaml" in "".join((person.before or "").split())
    person.sendline("n")
    assert ended(person) == 1
    assert list((folder / "src").iterdir()) == []
    words = ["--region", "eu-west-1", "--type", "g5.xlarge", "--budget", "9", "--max-hours", "2h", "--yes"]
    assert main(["init", *words]) == 0
    assert f"{folder}/config.yaml" in capsys.readouterr().err
    assert load().region == "eu-west-1"


def test_without_a_terminal_it_names_the_flags(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("us-west-2\n\n"))
    assert main(["init"]) == 2
    assert (
        "init: cannot ask for 'Maximum US dollars a month (or none)', because there is no terminal. "
        "Pass --yes" in capsys.readouterr().err
    )
    assert list(folder.iterdir()) == []


def test_every_wrong_flag_is_reported_before_any_question(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--region", "mars", "--budget", "0"]) == 2
    answer = capsys.readouterr().err
    assert "'mars' is not an AWS region" in answer and "budget" in answer
    assert list(folder.iterdir()) == []
