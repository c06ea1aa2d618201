"""A command uses one session of the SDK: it reads credentials and service models once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from botocore.client import BaseClient

from gpu_box.aws.client import Cloud
from gpu_box.box import find
from gpu_box.cli.app import app
from gpu_box.cli.main import main
from gpu_box.errors import CredentialsError, MachineError
from gpu_box.model.observed import InstanceState

from ..aws.conftest import Laptop, aws, laptop, weather

__all__ = ["aws", "laptop", "weather"]

# They print text of their own, or ask only the embedded cloud's daemon.
_WITHOUT_AWS = {"policy", "aliases", "skill", "local", "help"}
# A running box, never set up: commands for the machine fail after all calls to AWS.
_RUNNING = (
    "plan", "up", "status", "ls", "why", "cost", "report", "doctor", "doctor --request-quota", "sweep",
    "bake", "keep 1h", "extend 1h", "sync", "pull", "run -- true", "jobs", "cancel train", "logs", "train",
    "resize g4dn.2xlarge", "stop", "move", "bake --remove", "down",
)  # fmt: skip
# No box: these attach to one, or write a file.
_ABSENT = ("ssh true", "tmux", "jupyter", "open", "tunnel 8888", "init --force")
_CLUSTER = ("plan", "status", "stop", "keep 1h", "cost", "train", "sync", "down")


class Counts:
    """One command's sessions of the SDK, and its calls by operation."""

    def __init__(self) -> None:
        self.sessions = 0
        self.calls: Counter[str] = Counter()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    counted = Counts()
    begin, call = boto3.Session.__init__, BaseClient._make_api_call

    def begun(self: Any, *args: Any, **named: Any) -> None:
        counted.sessions += 1
        begin(self, *args, **named)

    def called(self: Any, operation_name: str, *args: Any, **named: Any) -> Any:
        counted.calls[operation_name] += 1
        return call(self, operation_name, *args, **named)

    monkeypatch.setattr(boto3.Session, "__init__", begun)
    monkeypatch.setattr(BaseClient, "_make_api_call", called)
    yield counted


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: Counts) -> Callable[..., Counts]:
    """`typed(mine, "plan")`: the calls of that command, however it ends."""
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(mine: Laptop, words: str) -> Counts:
        (tmp_path / "config.yaml").write_text(
            f"name: {mine.config.name}\nregion: us-east-1\nboxes: {mine.config.boxes}\n"
            f"ssh: {{key: {mine.config.ssh.key}}}\nnetwork: {{allow_ssh_from: [127.0.0.1]}}\n"
        )
        counts.__init__()  # type: ignore[misc]
        assert main(["--yes", *words.split()]) in (0, 1)
        return counts

    return run


def test_every_command_is_counted() -> None:
    group: Any = typer.main.get_command(app)
    assert {words.split()[0] for words in _RUNNING + _ABSENT} == set(group.commands) - _WITHOUT_AWS


def test_each_command_has_one_session(
    laptop: Callable[..., Laptop], typed: Callable[..., Counts], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop(region="us-east-1")
    mine.up()
    monkeypatch.setattr("gpu_box.box.enter.enter", _no_machine)
    assert {words: typed(mine, words).sessions for words in _RUNNING} == dict.fromkeys(_RUNNING, 1)


def test_what_attaches_to_a_box_and_init_have_one_session(
    laptop: Callable[..., Laptop], typed: Callable[..., Counts]
) -> None:
    mine = laptop(region="us-east-1")
    assert {words: typed(mine, words).sessions for words in _ABSENT} == dict.fromkeys(_ABSENT, 1)


def test_all_boxes_of_a_cluster_share_one(
    laptop: Callable[..., Laptop], typed: Callable[..., Counts]
) -> None:
    mine = laptop(region="us-east-1", boxes=2)
    assert {words: typed(mine, words).sessions for words in _CLUSTER} == dict.fromkeys(_CLUSTER, 1)


def test_doctor_reads_the_box_once_and_what_counts_against_the_quota_once(
    laptop: Callable[..., Laptop], typed: Callable[..., Counts]
) -> None:
    mine = laptop(region="us-east-1")
    calls = typed(mine, "doctor").calls
    assert calls["DescribeInstances"] == 4, (
        "the box, what AWS launched again, whether the region has another box, and the quota's"
    )
    assert calls["DescribeSecurityGroups"] == calls["GetRole"] == calls["GetSchedule"] == 1


def test_a_tunnel_comes_back_with_credentials_that_were_renewed_meanwhile(
    aws: dict[str, str], laptop: Callable[..., Laptop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a tool that writes temporary keys to the SDK's own file."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    mine = laptop(region="us-east-1")
    own = aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"]
    with monkeypatch.context() as env:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            env.delenv(name)
        cloud = Cloud(mine.config)
        _write(file, own[0], "0" * len(own[1]))
        with pytest.raises(CredentialsError):
            find.host_or_state(cloud)
        _write(file, *own)
        assert find.host_or_state(cloud) is InstanceState.TERMINATED


def _write(file: Path, key_id: str, secret: str) -> None:
    file.write_text(f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")


def _no_machine(*_: object) -> Any:
    raise MachineError("not entered in this test")
