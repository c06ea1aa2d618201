"""The AWS side, against the embedded cloud: with AWS's semantics, a retry that makes two is seen."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gpu_box import box, plan
from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe
from gpu_box.config import Config, Network, Ssh
from gpu_box.embedded import daemon
from gpu_box.machine import keys
from gpu_box.model import Observed

Weather = Callable[..., None]


@pytest.fixture(scope="session")
def embedded_exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    home = tmp_path_factory.mktemp("cloud")
    yield daemon.start(home)
    daemon.stop(home)


@pytest.fixture
def aws(embedded_exports: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in embedded_exports.items():
        monkeypatch.setenv(name, value)
    return embedded_exports


@dataclass
class Recorder:
    """A Reporter that remembers."""

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
    """One laptop's view of one box: what `box` does on AWS's side, without entering the machine."""

    config: Config
    report: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.config)
        self.public_key = keys.ensure_key_pair(self.config.ssh.key).line

    def observe(self) -> Observed:
        return observe(self.cloud, ask_caller=True)

    def up(self) -> Observed:
        return box.bring_up(self.cloud, self.public_key, self.report)[1]

    def stop(self) -> Observed:
        return box.halt(self.cloud, self.report)

    def down(self) -> Observed:
        return box.converge(self.cloud, self.report, plan.down)[0]


@pytest.fixture
def weather(aws: dict[str, str]) -> Iterator[Weather]:
    """`weather(capacity={...})`: what the embedded cloud has, and what goes wrong, until the test ends."""
    url = aws["AWS_ENDPOINT_URL"] + "/embedded/weather"

    def send(method: str, body: dict[str, Any] | None = None) -> None:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        urllib.request.urlopen(request, timeout=10).close()

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

    yield make
    if made:
        Laptop(Config(name=name, network=known_address, ssh=Ssh(key=tmp_path / "key"))).down()
