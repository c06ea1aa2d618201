"""The walk's cloud: the embedded one, in a hurry."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from gpu_box.aws import act
from gpu_box.config import Config, Network, Ssh

from ..aws.conftest import Laptop, aws, embedded_exports, weather  # noqa: F401
from ..aws.conftest import Weather as WeatherType
from ..embedded.cloud import QUICK


@pytest.fixture
def boxes(
    weather: WeatherType,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], Callable[[], Laptop]]]:
    """`boxes()` names a new box; what it returns makes laptops that share it."""
    weather(delays=QUICK)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)  # between two attempts
    monkeypatch.setattr(act, "_POLL_FIRST_S", 0.05)

    def another() -> Callable[[], Laptop]:
        config = Config(
            name=f"box-{secrets.token_hex(4)}",
            region="us-east-1",
            network=Network(allow_ssh_from=(ip_network("127.0.0.1/32"),)),
            ssh=Ssh(key=tmp_path / "key"),
        )
        return lambda: Laptop(config)

    yield another
