"""Two terminals at one box at once: a handful of interleavings; `make walk` does 50 of each pair."""

from __future__ import annotations

import secrets
from ipaddress import ip_network
from pathlib import Path

import pytest

from gpu_box.config import Config, Network, Ssh

from ..aws.conftest import Weather, aws, embedded_exports, weather  # noqa: F401
from ..embedded.cloud import QUICK
from . import pairs
from .pairs import PAIRS

SEEDS = range(2)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("seed", SEEDS)
def test_two_hands_at_one_box_leave_one_right_state(
    name: str,
    seed: int,
    weather: Weather,  # noqa: F811
    tmp_path: Path,
) -> None:
    weather(delays=QUICK)
    config = Config(
        name=f"box-{secrets.token_hex(4)}",
        region="us-east-1",
        network=Network(allow_ssh_from=(ip_network("127.0.0.1/32"),)),
        ssh=Ssh(key=tmp_path / "key"),
    )
    defects, how = pairs.run(config, PAIRS[name], seed)
    print(how)
    assert defects == [], how
