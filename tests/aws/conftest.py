"""The AWS side against the embedded cloud, with AWS's semantics: a retry that creates two is detected."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import boto3
import pytest
from testbed import control

from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe
from gpu_box.box import stop, up
from gpu_box.config.model import Config, Network, Ssh
from gpu_box.machine.ssh import keys
from gpu_box.model.observed import Observed
from local_aws import daemon
from tests.paths import POLICY

from ..faults.apart import impatient
from ..faults.quick import warm

warm()

Weather = Callable[..., None]
Owner = Callable[..., Any]


@pytest.fixture
def aws(embedded_exports: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in embedded_exports.items():
        monkeypatch.setenv(name, value)
    return embedded_exports


@pytest.fixture
def owner(aws: dict[str, str], cloud_home: Path) -> Owner:
    """`owner("ec2", "eu-west-2")`: a client of the account's owner, for changes as in the console.

    gpu-box itself is here, as everywhere, the user of infra/operator-policy.json.
    """
    exports = daemon.start_as_owner(cloud_home, POLICY)
    own = exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]
    session = boto3.Session(*own)
    return lambda service, region="us-east-1": session.client(service, region_name=region)


@dataclass
class Recorder:
    """A Reporter that records its calls."""

    lines: list[str] = field(default_factory=list)

    def start(self, step: str, line: str = "") -> None: ...
    def update(self, step: str, line: str) -> None:
        self.lines.append(line)

    def done(self, step: str, line: str = "") -> None:
        self.lines.append(line)

    def failed(self, step: str, line: str = "") -> None:
        self.lines.append(f"failed: {line}")

    def note(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class Laptop:
    """One laptop's view of one box: the AWS side of `box`, without the machine."""

    config: Config
    report: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.config)
        self.public_key = keys.ensure_key_pair(self.config.ssh.key).line

    def observe(self) -> Observed:
        return observe(self.cloud, need="plan")

    def up(self) -> Observed:
        return up.bring_up(self.cloud, self.public_key, self.report)[1]

    def stop(self) -> Observed:
        return stop.halt(self.cloud, self.report)

    def down(self) -> Observed:
        return stop.bring_down(self.cloud, self.report)


@pytest.fixture
def weather(aws: dict[str, str], cloud_home: Path) -> Iterator[Weather]:
    """`weather(capacity={...})`: sets the embedded cloud's capacity and faults until the test ends."""

    def send(method: str, body: dict[str, Any] | None = None) -> None:
        assert control.ask(cloud_home, method, "/embedded/weather", body)[0] == 200

    yield lambda **wanted: send("POST", wanted)
    send("DELETE")


@pytest.fixture
def laptop(aws: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Laptop]]:
    """A factory: `laptop()` and `laptop()` again are two laptops with the same config and key."""
    name = f"box-{secrets.token_hex(4)}"
    known_address = Network(allow_ssh_from=(ip_network("127.0.0.1/32"),))
    made: list[Laptop] = []

    def make(**settings: object) -> Laptop:
        known = {"name": name, "network": known_address, "ssh": Ssh(key=tmp_path / "key")}
        one = Laptop(Config(**{**known, **settings}))  # type: ignore[arg-type]
        made.append(one)
        return one

    with impatient():
        yield make
        if made:
            Laptop(
                Config(name=name, network=known_address, ssh=Ssh(key=tmp_path / "key"), any_owner=True)
            ).down()
