"""`up` reads the facts for its plan once, unless they may have changed since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import price_of
from gpu_box.box import up
from gpu_box.box.facts import FactsReader
from gpu_box.config.model import Config, Ssh
from gpu_box.errors import CapacityError
from gpu_box.model.observed import Instance, InstanceState, Launchable, Observed, Placement, SecurityGroup
from gpu_box.model.price import Price
from gpu_box.plan.steps import RunInstance, Step

from ..aws.conftest import Laptop

NOTHING = Observed(region="us-east-1")
RUNNING = Instance(
    id="i-1",
    state=InstanceState.RUNNING,
    type="g4dn.xlarge",
    zone="us-east-1a",
    launched=datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
)
OPTIONS = Launchable(
    image_id="ami-1",
    image_name="Deep Learning Base",
    root_device="/dev/sda1",
    min_disk_gib=35,
    vpc_id="vpc-1",
    placements=(Placement(type="g4dn.xlarge", zone="us-east-1a", subnet_id="subnet-a"),),
)


class Asked:
    """How often each was read; `options`: the answer."""

    def __init__(self) -> None:
        self.options, self.launch_options, self.prices = OPTIONS, 0, 0

    def read_launchable(self, cloud: Cloud, *, describe: bool) -> Launchable:
        self.launch_options += 1
        return self.options

    def price(self, *_: object) -> Price:
        self.prices += 1
        return price_of("g4dn.xlarge", "us-east-1", Config().disk)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    counted = Asked()
    monkeypatch.setattr("gpu_box.box.facts.read_launchable", counted.read_launchable)
    monkeypatch.setattr("gpu_box.box.facts.read_price_of", counted.price)
    monkeypatch.setattr("gpu_box.box.facts.spent.first_price", counted.price)
    return counted


def reader(folder: Path) -> FactsReader:
    return FactsReader(Cloud(Config(ssh=Ssh(key=folder / "key"))), "ssh-ed25519 AAAA", launches=False)


def test_launch_options_and_prices_are_read_once(asked: Asked, tmp_path: Path) -> None:
    facts = reader(tmp_path)
    for _ in range(3):  # after a lost race for a launch, or a launch that AWS does not show yet
        assert facts.of(NOTHING).launchable == OPTIONS
    for _ in range(2):
        assert facts.of(replace(NOTHING, instances=(RUNNING,))).launchable is None
    assert (asked.launch_options, asked.prices) == (1, 2), "of the type that is tried first, of the instance"


def test_a_box_without_a_group_has_one_name_for_its_life_until_aws_tells_another(
    asked: Asked, tmp_path: Path
) -> None:
    facts = reader(tmp_path)
    one, again = facts.of(NOTHING).launch, facts.of(NOTHING).launch
    assert one and one == again
    theirs = facts.of(replace(NOTHING, group=SecurityGroup(id="sg-1", generation="theirs"))).launch
    assert theirs and theirs.generation == "theirs"


def test_an_image_that_was_waited_for_is_read_again(asked: Asked, tmp_path: Path) -> None:
    facts = reader(tmp_path)
    asked.options = replace(OPTIONS, image_pending=True)
    assert facts.of(NOTHING).launchable == asked.options
    asked.options = OPTIONS
    assert facts.of(NOTHING).launchable == OPTIONS


class _Done(Exception):
    pass


def test_a_wait_for_capacity_looks_for_zones_and_types_each_time(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, answers = laptop(), [OPTIONS, replace(OPTIONS, image_id="ami-2")]
    tried: list[str] = []

    def no_capacity(
        cloud: Cloud, report: object, steps: Callable[[Observed], list[Step]], **_: object
    ) -> None:
        [launch] = [step for step in steps(NOTHING) if isinstance(step, RunInstance)]
        tried.append(launch.launchable.image_id)
        raise CapacityError("none there now") if len(tried) < 2 else _Done

    monkeypatch.setattr("gpu_box.box.facts.read_launchable", lambda cloud, describe: answers.pop(0))
    monkeypatch.setattr(up, "converge", no_capacity)
    monkeypatch.setattr(up, "_ASK_AGAIN_S", 0.0)
    with pytest.raises(_Done):
        up.bring_up(mine.cloud, mine.public_key, mine.report, wait=timedelta(hours=1))
    assert tried == ["ami-1", "ami-2"]
