"""The AWS side, against the embedded cloud: with AWS's semantics, a retry that makes two is seen."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from gpu_box import plan
from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.aws.launchable import read_launchable
from gpu_box.aws.observe import observe
from gpu_box.config import Config, Network
from gpu_box.embedded import daemon
from gpu_box.machine import keys
from gpu_box.model import Launch, Observed


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
    """One laptop's view of one box, without its SSH half: what `box` does on AWS's side."""

    config: Config
    key: Path
    report: Recorder = field(default_factory=Recorder)
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.config)
        self.public_key = keys.ensure_key_pair(self.key).line

    def observe(self) -> Observed:
        return observe(self.cloud, ask_caller=True)

    def up(self) -> Observed:
        for _ in range(12):
            observed = self.observe()
            launch = launchable = None
            if plan.wants_launch(observed):
                launchable = read_launchable(self.cloud)
                generation = observed.group.generation if observed.group else self.nonce
                host = keys.first_host_key(self.key, self.config.name, generation)
                launch = Launch(
                    generation=generation,
                    public_key=self.public_key,
                    user_data=f"#cloud-config\n# {host.public_line}\n",
                )
            steps = plan.up(
                self.config,
                observed,
                now=datetime.now(UTC),
                public_key=self.public_key,
                launch=launch,
                launchable=launchable,
            )
            if not steps:
                return observed
            act(self.cloud, steps, self.report)
        raise AssertionError("does not settle")

    def run(self, next_steps: Callable[[Observed], list]) -> Observed:  # type: ignore[type-arg]
        for _ in range(12):
            observed = self.observe()
            steps = next_steps(observed)
            if not steps:
                return observed
            act(self.cloud, steps, self.report)
        raise AssertionError("does not settle")

    def down(self) -> Observed:
        return self.run(plan.down)


@pytest.fixture
def laptop(aws: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Laptop]]:
    """A factory: `laptop()` and `laptop()` again are two laptops with the same config and key."""
    name = f"box-{secrets.token_hex(4)}"
    known_address = Network(allow_ssh_from=(ip_network("127.0.0.1/32"),))
    made: list[Laptop] = []

    def make(**settings: object) -> Laptop:
        known = {"name": name, "network": known_address}
        one = Laptop(Config(**{**known, **settings}), tmp_path / "key")  # type: ignore[arg-type]
        made.append(one)
        return one

    yield make
    if made:
        Laptop(Config(name=name, network=known_address), tmp_path / "key").down()
