"""A box with jobs: a command that would end them names them and asks; `stop` waits for no silent box."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from gpu_box.aws.client import Cloud
from gpu_box.box import enter, running_jobs
from gpu_box.cli.main import main
from gpu_box.config.model import Config
from gpu_box.machine import jobs
from gpu_box.machine.files import upload_remote
from gpu_box.model.job import Queue
from gpu_box.model.observed import InstanceState
from gpu_box.resources import remote

from ..aws.conftest import Laptop, aws, laptop
from .terminal import Terminal, ended, terminals

__all__ = ["aws", "laptop"]


@pytest.fixture
def mine(laptop: Callable[..., Laptop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """A running box, and the folder of its config.yaml."""
    one = laptop(region="us-east-1")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "config.yaml").write_text(
        f"name: {one.config.name}\nregion: us-east-1\nssh: {{key: {one.config.ssh.key}, config: false}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\n"
    )
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "project")
    one.up()
    return one


@pytest.fixture
def with_job(mine: Laptop) -> Iterator[Laptop]:
    """A running box with a long job."""
    with enter.enter(mine.cloud, mine.observe(), mine.report) as (connection, _):
        upload_remote.upload(connection, remote())
        jobs.start(connection, "night-run", "sleep 600", cwd="~", queue=Queue())
        jobs.start(connection, "next", "true", cwd="~", queue=Queue())
    yield mine
    instance = mine.observe().instance
    if instance and instance.state is InstanceState.RUNNING:
        with enter.enter(mine.cloud, mine.observe(), mine.report) as (connection, _):
            jobs.cancel(connection, "night-run")


@pytest.fixture
def patient() -> Iterator[Terminal]:
    """As `terminal`, however busy this computer is."""
    with terminals(patient=True) as start:
        yield start


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """`terminal("stop")`: the command in a terminal."""
    with terminals() as start:
        yield start


def state(mine: Laptop) -> InstanceState:
    instance = mine.observe().instance
    assert instance is not None
    return instance.state


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (["stop"], "Stop {box}?"),
        (["down"], "Remove box '{box}' in us-east-1"),
        (["resize", "g5.xlarge"], "Resize {box}, which stops and starts again"),
        (["bake"], "Bake {box}, which stops and starts again?"),
        (["sweep", "--remove", "--name", "{box}"], "Remove these"),
    ],
)
def test_running_jobs_are_named_and_a_no_changes_nothing(
    with_job: Laptop, patient: Terminal, words: list[str], question: str
) -> None:
    box = with_job.config.name
    before = with_job.observe()
    person = patient(*(word.format(box=box) for word in words))
    person.expect_exact("[y/N]")
    asked = " ".join((person.before or "").split())
    assert f"These jobs of {box} would end: night-run. These wait in its queue: next. " in asked
    assert question.format(box=box) in asked
    person.sendline("n")
    assert ended(person) == 1
    assert with_job.observe() == before
    assert state(with_job) is InstanceState.RUNNING


@pytest.mark.parametrize("key", ["c", "d"])
def test_ctrl_c_and_ctrl_d_at_a_question_say_that_nothing_was_changed(
    mine: Laptop, terminal: Terminal, key: str
) -> None:
    before = mine.observe()
    person = terminal("down")
    person.expect_exact("[y/N]")
    for _ in range(5):  # a key pressed before the question is read is pressed again
        person.sendcontrol(key)
        if person.expect(["nothing was changed", pexpect.TIMEOUT], timeout=10) == 0:
            break
    assert ended(person) == 130
    assert "interrupted" not in (person.before or "")
    assert mine.observe() == before


def test_move_refuses_a_running_box_before_it_asks(
    mine: Laptop, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["move"]) == 1
    assert f"{mine.config.name} is running in " in capsys.readouterr().err
    person = terminal("move")
    assert ended(person) == 1
    assert "[y/N]" not in (person.before or "")


def test_a_yes_at_the_question_stops_the_box(with_job: Laptop, terminal: Terminal) -> None:
    person = terminal("stop")
    if person.expect_exact(["[y/N]", pexpect.EOF]) == 1:
        pytest.skip("this machine is too busy: the box did not answer within the 3 s that `stop` waits")
    person.sendline("y")
    assert ended(person) == 0
    assert state(with_job) is InstanceState.STOPPED


def test_resize_shows_both_prices(
    mine: Laptop, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    person = terminal("resize", "g5.xlarge")
    person.expect(r"from\s+g4dn.xlarge,\s+\$0.5\d+\s+an\s+hour,\s+to\s+g5.xlarge,\s+\$1.\d+\s+an\s+hour\?")
    person.sendline("n")
    assert ended(person) == 1
    mine.stop()
    capsys.readouterr()
    assert main(["--json", "resize", "g5.xlarge", "--yes"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert 0 < float(answer["usd_hour_before"]) < float(answer["usd_hour"])
    assert main(["resize", "g4dn.xlarge", "--yes"]) == 0
    assert "(was g5.xlarge, $1.0" in capsys.readouterr().out
    assert main(["resize", "g4dn.xlarge"]) == 0, "nothing changes, so nothing is asked"


@pytest.mark.parametrize("words", [["down"], ["resize", "g5.xlarge"], ["bake"]])
def test_without_a_terminal_it_is_refused_and_names_the_jobs(
    with_job: Laptop, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    before = with_job.observe()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "night-run" in said and "because there is no terminal" in said and "Pass --yes to agree." in said
    assert said.count("\n") == 1
    assert with_job.observe() == before


def test_without_a_terminal_stop_stops_and_asks_the_box_nothing(
    with_job: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_jobs, "find", None)  # to call it would fail
    assert main(["stop"]) == 0
    assert state(with_job) is InstanceState.STOPPED


def test_yes_skips_the_question_and_the_look(
    with_job: Laptop, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_jobs, "find", None)
    assert main(["down", "--yes"]) == 0
    assert with_job.observe().nothing_left


@pytest.fixture
def with_scratch(mine: Laptop, cloud_home: Path) -> Laptop:
    """A box whose local NVMe has data: its / stands for it."""
    with enter.enter(mine.cloud, mine.observe(), mine.report) as (connection, _):
        upload_remote.upload(connection, remote())
        connection.run('mkdir -p ~/.gpu-box/watch && echo \'{"mount": "/"}\' >~/.gpu-box/watch/scratch.json')
    return mine


@pytest.mark.parametrize("words", [["stop"], ["down"], ["resize", "g5.xlarge"], ["bake"]])
def test_what_scratch_loses_is_said_before_a_stop(
    with_scratch: Laptop, patient: Terminal, words: list[str]
) -> None:
    person = patient(*words)
    person.expect(r"\d GB\s+in\s+~/scratch\s+of\s+\S+\s+will\s+be\s+lost\.")
    person.expect_exact("[y/N]")
    person.sendline("n")
    assert ended(person) == 1
    assert state(with_scratch) is InstanceState.RUNNING


def test_a_box_that_does_not_tell_its_jobs_is_stopped_without_a_question(
    mine: Laptop, terminal: Terminal
) -> None:
    person = terminal("stop")  # the box was never set up
    assert ended(person) == 0
    assert "[y/N]" not in (person.before or "")
    assert state(mine) is InstanceState.STOPPED


def test_down_says_that_the_jobs_of_a_silent_box_are_unknown(mine: Laptop, terminal: Terminal) -> None:
    person = terminal("down")
    person.expect_exact(f"{mine.config.name} does not answer, so its jobs are unknown.")
    person.sendline("n")
    assert ended(person) == 1


def test_a_box_or_an_aws_that_never_answers_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr("gpu_box.box.find.locate", lambda cloud: over.wait())
    members = [Cloud(Config(name="a")), Cloud(Config(name="b"))]
    found = running_jobs.find([(member, None) for member in members], patience_s=0.1)
    assert [(one.box, one.names) for one in found] == [("a", None), ("b", None)]
    over.set()


def test_each_member_of_a_cluster_names_its_own_jobs(
    with_job: Laptop, laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = with_job.cloud.sharing(replace(with_job.config, name=f"{with_job.config.name}-2"))  # not there
    found = running_jobs.find([(with_job.cloud, None), (other, None)], patience_s=30)
    assert [str(one) for one in found] == [
        f"These jobs of {with_job.config.name} would end: night-run. These wait in its queue: next."
    ]
