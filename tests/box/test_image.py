"""`bake`: one image of the disk, replaced by the next; launched from, copied to a region, removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gpu_box.box import converge, image
from gpu_box.box.preview import preview
from gpu_box.config.model import Disk
from gpu_box.errors import CapacityError, CloudError, InputError
from gpu_box.model.observed import BAKED, InstanceState, Observed
from gpu_box.model.spending import Rates
from gpu_box.plan import box as plan
from gpu_box.plan import budget, images

from ..aws.conftest import Laptop, Weather

Laptops = Callable[..., Laptop]


def baked(mine: Laptop) -> Observed:
    made = image.begin(mine.cloud, BAKED, mine.report)
    return image.end(mine.cloud, made, mine.report)


def calls(mine: Laptop, operation: str) -> list[str]:
    made: list[str] = []
    mine.cloud.ec2.meta.events.register(
        f"before-call.ec2.{operation}", lambda **_: made.append(operation), unique_id=operation
    )
    return made


def image_id(mine: Laptop) -> str:
    instance = mine.observe().instance
    assert instance is not None
    found = mine.cloud.ec2.describe_instances(InstanceIds=[instance.id])["Reservations"][0]["Instances"][0]
    return str(found["ImageId"])


def test_a_stopped_box_is_baked_once_and_stays_stopped(laptop: Laptops) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    made = calls(mine, "CreateImage")
    first = baked(mine)
    assert baked(mine).images == first.images, "nothing ran in between: it is the disk as it is"
    assert made == ["CreateImage"]
    [made], [snapshot] = first.images, first.snapshots
    assert (made.state, made.kind, made.snapshot_ids) == ("available", "baked", (snapshot.id,))
    assert first.instance and first.instance.state is InstanceState.STOPPED and not first.instance.baking


def test_a_running_box_is_stopped_for_it_and_the_run_that_finishes_starts_it_again(laptop: Laptops) -> None:
    mine = laptop()
    mine.up()
    made = image.begin(mine.cloud, BAKED, mine.report)
    cut = mine.observe().instance
    assert cut and cut.state is InstanceState.STOPPED and cut.baking
    mine.up()
    seen = image.end(mine.cloud, made, mine.report)
    assert seen.instance and seen.instance.state is InstanceState.RUNNING and not seen.instance.baking


def test_a_new_image_takes_the_place_of_the_one_before(laptop: Laptops) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    before = baked(mine)
    mine.up()
    mine.stop()
    after = baked(mine)
    assert len(after.images) == len(after.snapshots) == 1
    assert before.images[0].id != after.images[0].id


def test_up_launches_from_the_image_that_down_kept_and_plan_says_so(laptop: Laptops) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    kept = baked(mine).images[0].id
    left, _ = converge.converge(mine.cloud, mine.report, lambda seen: plan.down(seen, keep_images=True))
    assert not left.live and not left.volumes and left.group is None
    assert [left_over.id for left_over in left.images] == [kept]
    planned = preview(mine.cloud)
    assert any("from its own disk as of" in step.line for step in planned.steps)
    mine.up()
    assert image_id(mine) == kept
    mine.down()
    assert mine.observe().nothing_left
    assert not mine.cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]


def test_an_image_that_is_still_being_made_is_waited_for_and_no_fresh_disk_launched(
    laptop: Laptops, weather: Weather
) -> None:
    weather(delays={"image": 6.0})  # longer than a busy computer takes for the steps before
    mine = laptop()
    mine.up()
    mine.stop()
    made = image.begin(mine.cloud, BAKED, mine.report)
    converge.converge(mine.cloud, mine.report, lambda seen: plan.down(seen, keep_images=True))
    mine.up()
    assert image_id(mine) == made.id
    assert any("wait until it is available" in line or "%" in line for line in mine.report.lines)


def test_a_larger_image_than_the_disk_in_the_config_is_refused_before_anything_is_made(
    laptop: Laptops,
) -> None:
    mine = laptop(disk=Disk(size_gib=120))
    mine.up()
    mine.stop()
    baked(mine)
    converge.converge(mine.cloud, mine.report, lambda seen: plan.down(seen, keep_images=True))
    smaller = Laptop(replace(mine.config, disk=Disk(size_gib=100)))
    with pytest.raises(InputError, match="needs 120 GiB"):
        smaller.up()
    assert not mine.observe().live


def test_a_box_whose_zone_is_full_moves_with_its_disk_and_leaves_no_image(
    laptop: Laptops, weather: Weather
) -> None:
    mine = laptop()
    before = mine.up().instance
    assert before is not None
    mine.stop()
    weather(capacity={before.type: {before.zone: 0, "*": 4}})
    with pytest.raises(CapacityError, match="gpu-box move"):
        mine.up()
    carried = image.carry(mine.cloud, mine.report)
    assert not carried.live and len(carried.images) == 1
    there = mine.up().instance
    assert there is not None and there.zone != before.zone
    assert image_id(mine) == carried.images[0].id
    seen, _ = converge.converge(mine.cloud, mine.report, images.moved)
    assert not seen.images and not seen.snapshots and len(seen.volumes) == 1
    assert seen.instance and not seen.instance.moved_from


def test_a_move_leaves_the_baked_image_alone_and_needs_no_other(laptop: Laptops) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    kept = baked(mine).images
    made = calls(mine, "CreateImage")
    image.carry(mine.cloud, mine.report)
    mine.up()
    seen, _ = converge.converge(mine.cloud, mine.report, images.moved)
    assert seen.images == kept and made == []


def test_a_move_is_refused_where_it_could_go_nowhere_or_would_lose(laptop: Laptops) -> None:
    mine = laptop()
    there = mine.up().instance
    assert there is not None
    with pytest.raises(CloudError, match="stop"):
        image.move(mine.cloud, mine.report)
    mine.stop()
    with pytest.raises(InputError, match="the only zone in the config"):
        image.move(mine.cloud.sharing(replace(mine.config, zones=(there.zone,))), mine.report)
    with pytest.raises(InputError, match="cannot shrink"):
        image.move(
            mine.cloud.sharing(replace(mine.config, disk=Disk(size_gib=mine.config.disk.size_gib - 1))),
            mine.report,
        )
    assert not mine.observe().images


def test_the_only_disk_of_a_box_on_its_way_is_not_removed_as_an_image(laptop: Laptops) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    image.carry(mine.cloud, mine.report)
    with pytest.raises(CloudError, match="only disk"):
        image.remove(mine.cloud, mine.report)
    assert len(mine.observe().images) == 1


def test_what_an_image_bills_counts_to_the_month(laptop: Laptops) -> None:
    mine = laptop(disk=Disk(size_gib=200))
    mine.up()
    mine.stop()
    seen = baked(mine)
    month = seen.usd_month_images
    assert month == Decimal("0.05") * 200, "us-east-1: $0.05 a GiB and month"
    rates = Rates(hour=Decimal(0), disk_month=Decimal(0))
    now = seen.snapshots[0].created + timedelta(hours=73)  # a tenth of a month
    days = budget.days(seen, rates, now=now)
    assert sum(days.images.values()) == pytest.approx(month / 10)


@pytest.mark.parametrize(("settings", "rate"), [({}, 300), ({"disk": Disk(initialization_mib=0)}, None)])
def test_a_disk_from_its_own_image_is_filled_at_once_and_the_plan_says_what_that_means(
    laptop: Laptops, settings: dict[str, Disk], rate: int | None
) -> None:
    mine = laptop(**settings)
    assert "MiB a second" not in " ".join(step.line for step in preview(mine.cloud).steps), "AWS's own image"
    mine.up()
    assert fill_rate(mine) is None
    mine.stop()
    baked(mine)
    converge.converge(mine.cloud, mine.report, lambda seen: plan.down(seen, keep_images=True))
    line = next(step.line for step in preview(mine.cloud).steps if "from its own disk" in step.line)
    assert ("its disk filled at 300 MiB/s, which AWS bills once" in line) == bool(rate)
    mine.up()
    assert fill_rate(mine) == rate


def fill_rate(mine: Laptop) -> int | None:
    """MiB a second, as AWS shows for the box's disk."""
    name = {"Name": "tag:gpu-box:name", "Values": [mine.config.name]}
    [volume] = mine.cloud.ec2.describe_volumes(Filters=[name])["Volumes"]
    rate: int | None = volume.get("VolumeInitializationRate")
    return rate
