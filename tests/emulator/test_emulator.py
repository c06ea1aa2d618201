"""A box's story on AWS's side, as far as SSH, against an emulator that others wrote: `make test-emulator`.

The tests of this file are one story, in their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.box import up
from gpu_box.cli.main import main
from gpu_box.config.read import load
from gpu_box.machine.ssh import keys
from gpu_box.model.observed import InstanceState, Observed

from ..aws.conftest import Recorder
from .conftest import NOWHERE, Followed
from .excuses import EXCUSES

Run = Callable[..., Any]
CONFIG = """\
name: box
region: us-east-1
image: {id: ami-0123456789abcdef0}
network: {allow_ssh_from: [127.0.0.1]}
ssh: {key: ./key, config: false}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command's result; its error where it fails."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GPU_BOX_HOME", str(folder / "home"))

    def run(*words: str, expect: int = 0) -> Any:
        code = main(["--json", "--yes", *words])
        said = capsys.readouterr()
        assert code == expect, said
        return json.loads(said.out)

    return run


def bring_up(folder: Path) -> Observed:
    """`up`, until the machine is entered."""
    config = load(folder / "config.yaml", name=None)
    line = keys.ensure_key_pair(config.ssh.key).line
    return up.bring_up(Cloud(config), line, Recorder())[1]


def test_init_writes_a_config(run: Run, folder: Path) -> None:
    run("--name", "box", "init", "--region", "us-east-1", "--type", "g4dn.xlarge", "--budget", "none")
    assert load(folder / "config.yaml", name=None).name == "box"
    (folder / "config.yaml").write_text(CONFIG)  # with an image that ministack has


def test_plan_shows_what_is_missing(run: Run) -> None:
    planned = run("plan")
    assert [step["title"] for step in planned["steps"]] == [
        "key pair", "security group", "deadline role", "instance",
    ]  # fmt: skip
    assert "us-east-1a, or one of 2 other placements" in planned["steps"][-1]["line"]


def test_up_makes_it_with_its_deadline_and_again_does_nothing(
    run: Run, folder: Path, followed: Followed
) -> None:
    made = bring_up(folder)
    assert made.instance is not None and made.deadline is not None
    assert made.deadline.instance_id == made.instance.id and not made.deadline.broken
    before = followed.writes
    again = bring_up(folder)
    assert again.instance is not None and again.instance.id == made.instance.id
    assert followed.writes == before


def test_ls_status_and_cost_know_it(run: Run) -> None:
    [listed] = run("ls")
    status, cost = run("status"), run("cost")
    assert listed["state"] == status["state"] == cost["state"] == "running"
    assert status["instance"] == listed["instance"] and status["address"] == NOWHERE
    assert status["deadline"] and "no SSH answer" in status["notices"][0]
    assert status["usd_month_stopped"] == "8.000"  # the disk's
    assert set(cost["days"].popitem()[1]) >= {"instance", "disk"}


def test_extend_moves_the_deadline(run: Run) -> None:
    before = datetime.fromisoformat(run("status")["deadline"])
    run("extend", "2h", expect=1)  # and then says that the box itself does not answer
    assert datetime.fromisoformat(run("status")["deadline"]) == before + timedelta(hours=2)


def test_stop_stops_it_and_why_knows_by_whom(run: Run) -> None:
    assert run("why", expect=1)["error"]["kind"] == "MachineUnreachable"
    assert run("stop")["state"] == "stopped"
    status = run("status")
    assert status["state"] == "stopped" and status["address"] is None
    assert run("why")["stopped"]["layer"] == "command"


def test_up_starts_it_again_with_a_new_deadline(run: Run, folder: Path) -> None:
    before = run("status")["deadline"]
    started = bring_up(folder)
    assert started.instance is not None and started.instance.state is InstanceState.RUNNING
    assert started.deadline is not None and started.deadline.at.isoformat() != before


def test_sweep_finds_all_of_it_and_nothing_after_down(run: Run) -> None:
    kinds = [found["kind"] for found in run("sweep")["found"]]
    assert sorted(kinds) == ["instance", "key pair", "role", "schedule", "security group", "volume"]
    gone = run("down")
    assert (gone["state"], gone["left"]) == ("none", [])
    swept = run("sweep")
    assert (swept["found"], swept["unread"]) == ([], [])
    assert run("ls") == [] and run("why")["state"] == "none"


def test_every_excuse_was_needed(followed: Followed) -> None:
    """Otherwise drop it from excuses.py: ministack has learnt."""
    assert followed.needed == {str(excuse) for excuse in EXCUSES}
