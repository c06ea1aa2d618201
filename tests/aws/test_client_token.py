"""A box whose instance was terminated by hand: AWS remembers its client token for a day."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from testbed.cloud import wait_until

from gpu_box.aws import launch
from gpu_box.config.model import Disk
from gpu_box.model.observed import InstanceState

from ..faults.faults import FAULTS, Killed, Saboteur
from .conftest import Laptop, Owner, Weather


@pytest.fixture
def terminated(laptop: Callable[..., Laptop], owner: Owner, weather: Weather) -> str:
    """The id of an instance that is gone, and no longer shown."""
    mine = laptop(zones=("us-east-1a",))
    found = mine.up().instance
    assert found is not None
    owner("ec2").terminate_instances(InstanceIds=[found.id])
    wait_until(lambda: mine.observe().instances[0].state is InstanceState.TERMINATED)
    weather(terminated_shown_s=0)
    wait_until(lambda: mine.observe().instances == ())
    return found.id


def test_up_makes_another_instance(laptop: Callable[..., Laptop], terminated: str) -> None:
    [again] = laptop(zones=("us-east-1a",)).up().live
    assert again.id != terminated


def test_up_makes_another_instance_of_another_size(
    laptop: Callable[..., Laptop], terminated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_NOT_YET_S", 0.3)
    [again] = laptop(zones=("us-east-1a",), disk=Disk(size_gib=150)).up().live
    assert again.id != terminated


def test_two_who_launch_again_make_one_instance(
    laptop: Callable[..., Laptop], terminated: str, weather: Weather
) -> None:
    weather(delays={"visible": 2.0})
    dying = laptop(zones=("us-east-1a",))
    Saboteur(("RunInstances", 2), FAULTS["killed after"]).follow(dying.cloud)
    with pytest.raises(Killed):
        dying.up()
    assert len(laptop(zones=("us-east-1a",)).up().live) == 1
    weather(delays={"visible": 0})
    assert len(laptop().observe().live) == 1


def test_another_size_asked_for_while_the_first_is_not_shown_yet_makes_no_second(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(zones=("us-east-1a",))
    weather(delays={"visible": 0.6})
    Saboteur(("RunInstances", 1), FAULTS["killed after"]).follow(mine.cloud)
    with pytest.raises(Killed):
        mine.up()
    wait_until(lambda: laptop().observe().group is not None)
    assert len(laptop(zones=("us-east-1a",), disk=Disk(size_gib=150)).up().live) == 1
