"""A box's whole life with all of AWS's delays, divided by one factor."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from gpu_box.aws.deadline import read_deadline
from gpu_box.box.late_deadline import armed_meanwhile
from gpu_box.config.model import Config, Network, Ssh
from gpu_box.errors import CloudError
from gpu_box.model.observed import InstanceState

from .compressed import compress
from .conftest import Laptop, Weather

FASTER = 10


@pytest.fixture
def real(weather: Weather, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Real seconds of AWS: `real(iam=45)`."""

    def begin(**seconds: float) -> None:
        delays = {name: second / FASTER for name, second in seconds.items()}
        weather(timing="real", faster=FASTER, delays=delays)
        compress(monkeypatch, FASTER)

    return begin


# A new role is usually accepted within 12 seconds; it may take much longer.
@pytest.mark.parametrize(("market", "seconds"), [("on-demand", {"iam": 45}), ("spot", {})], ids=str)
def test_up_status_stop_up_and_down(
    aws: dict[str, str], tmp_path: Path, real: Callable[..., None], market: str, seconds: dict[str, float]
) -> None:
    real(**seconds)
    config = Config(
        name=f"box-{secrets.token_hex(4)}",
        market=market,
        network=Network(allow_ssh_from=(ip_network("127.0.0.1/32"),)),
        ssh=Ssh(key=tmp_path / "key"),
    )
    try:
        mine = Laptop(config)
        up = mine.up()
        with armed_meanwhile(mine.cloud, up, mine.report):
            pass  # set-up of the machine
        assert up.instance is not None and up.instance.state is InstanceState.RUNNING
        armed, _ = read_deadline(mine.cloud)
        assert armed is not None and armed.instance_id == up.instance.id
        assert [one.id for one in Laptop(config).observe().live] == [up.instance.id]
        stopped = Laptop(config).stop().instance
        assert stopped is not None and stopped.state is InstanceState.STOPPED
        again = Laptop(config).up().instance
        assert again is not None and (again.id, again.state) == (up.instance.id, InstanceState.RUNNING)
    finally:
        assert Laptop(config).down().nothing_left


def test_a_box_whose_deadline_cannot_be_armed_in_three_minutes_is_stopped(
    laptop: Callable[..., Laptop], real: Callable[..., None]
) -> None:
    real(iam=600)
    mine = laptop()
    up = mine.up()
    assert up.deadline_late
    with (
        pytest.raises(CloudError, match="the instance was stopped"),
        armed_meanwhile(mine.cloud, up, mine.report),
    ):
        pass  # set-up of the machine
    [instance] = mine.observe().live
    assert instance.state is InstanceState.STOPPED
