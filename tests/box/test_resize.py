"""`resize`: another instance type for the same disk, within its zone and architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpu_box.aws.instance_types import refuse_unfit
from gpu_box.box import converge, image
from gpu_box.box.resize import change_type, resize, takes_an_image
from gpu_box.errors import InputError
from gpu_box.model.observed import InstanceState
from gpu_box.plan import images
from gpu_box.plan.deadline import sooner

from ..aws.conftest import Laptop


def test_a_running_box_is_stopped_for_it_and_keeps_its_disk(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    first = mine.up()
    assert first.instance is not None
    disks = mine.observe().volumes
    assert disks
    changed = change_type(mine.cloud, "g5.xlarge", mine.report).instance
    assert changed is not None
    assert (changed.id, changed.type, changed.state) == (
        first.instance.id,
        "g5.xlarge",
        InstanceState.STOPPED,
    )
    assert changed.resizing == "g5.xlarge"  # so that the next command starts it again
    again = mine.up()
    assert mine.observe().volumes == disks
    assert again.instance is not None
    assert again.instance.state is InstanceState.RUNNING
    # The first session costs the old type's price: a minute of a g4dn.xlarge.
    assert [usd for _, usd in again.instance.spent] == [Decimal("0.009")]


def test_a_restart_that_takes_back_an_extension_says_so() -> None:
    extended = datetime(2026, 11, 30, 5, 12, tzinfo=UTC)
    said = sooner(extended, extended - timedelta(hours=5))
    assert (
        f"at {extended - timedelta(hours=5):%a} " in said and "as extended; `gpu-box extend` moves it" in said
    )
    assert sooner(extended, extended) == sooner(extended, extended + timedelta(hours=1)) == ""
    assert sooner(extended, None) == sooner(None, extended) == ""


def test_a_stopped_box_is_only_changed(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    changed = change_type(mine.cloud, "g5.xlarge", mine.report).instance
    assert changed is not None
    assert (changed.type, changed.state, changed.resizing) == ("g5.xlarge", InstanceState.STOPPED, "")


def test_the_same_type_again_changes_nothing(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    before = mine.up().instance
    assert change_type(mine.cloud, "g4dn.xlarge", mine.report).instance == before


def test_the_type_of_a_spot_box_changes_by_way_of_an_image_and_its_disk_comes_along(
    laptop: Callable[..., Laptop],
) -> None:
    """EC2 does not change the type of a spot instance, not even of an interrupted one."""
    mine = laptop(market="spot")
    first = mine.up()
    assert takes_an_image(first, "g5.xlarge") and not takes_an_image(first, "g4dn.xlarge")
    mine.stop()
    carried = image.carry(mine.cloud, mine.report)
    assert carried.instance is None and takes_an_image(carried, "g5.xlarge"), "cut here, it goes on"
    bigger = laptop(market="spot", instance_types=("g5.xlarge",))
    bigger.up()
    seen, _ = converge.converge(bigger.cloud, bigger.report, images.moved)
    assert seen.instance and first.instance
    assert (seen.instance.type, seen.instance.market) == ("g5.xlarge", "spot")
    [raw] = mine.cloud.ec2.describe_instances(InstanceIds=[seen.instance.id])["Reservations"][0]["Instances"]
    assert raw["ImageId"] == carried.images[0].id
    assert not seen.images and not takes_an_image(seen, "g5.xlarge")


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ("g4dn.xlrge", "no instance type 'g4dn.xlrge'"),
        ("g5g.xlarge", "the box's disk is made for x86_64"),
    ],
)
def test_what_the_disk_cannot_run_on_is_refused(
    laptop: Callable[..., Laptop], wanted: str, what: str
) -> None:
    mine = laptop()
    instance = mine.up().instance
    assert instance is not None
    with pytest.raises(InputError) as refused:
        refuse_unfit(mine.cloud, wanted, like=instance)
    assert what in refused.value.what


def test_a_type_that_its_zone_does_not_offer_is_refused_with_the_zones_that_do(
    laptop: Callable[..., Laptop],
) -> None:
    mine = laptop()
    instance = mine.up().instance
    assert instance is not None
    with pytest.raises(InputError) as refused:
        refuse_unfit(mine.cloud, "g5.xlarge", like=replace(instance, zone="us-east-1z"))
    assert "not offered in us-east-1z" in refused.value.what
    assert "us-east-1a" in (refused.value.remedy or "")


def test_a_running_box_stays_as_it_is_if_its_start_would_be_refused_here(
    laptop: Callable[..., Laptop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    before = mine.up().instance
    (tmp_path / "user/.ssh/config").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    config = mine.cloud.config
    cloud = mine.cloud.sharing(replace(config, ssh=replace(config.ssh, config=True)))
    with pytest.raises(InputError, match="~/.ssh/config is a folder"):
        resize(cloud, "g5.xlarge", mine.report)
    assert mine.observe().instance == before
