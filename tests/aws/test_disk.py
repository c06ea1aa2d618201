"""A disk grows with the config, exactly once despite interruptions, and never shrinks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gpu_box.aws.act import act
from gpu_box.box.preview import preview
from gpu_box.config.model import Disk
from gpu_box.errors import CloudError, InputError
from gpu_box.plan.steps import GrowDisk, StartInstance

from .conftest import Laptop, Owner, Recorder, Weather

Make = Callable[..., Laptop]


def with_disk(mine: Laptop, size_gib: int) -> Laptop:
    return Laptop(replace(mine.config, disk=Disk(size_gib=size_gib)))


def sizes(mine: Laptop) -> list[int]:
    return [volume.size_gib for volume in mine.observe().volumes]


@pytest.mark.parametrize("stopped", [False, True])
def test_it_grows_with_the_config_running_or_stopped(laptop: Make, stopped: bool) -> None:
    mine = laptop(disk=Disk(size_gib=100))
    before = mine.up().instance
    if stopped:
        mine.stop()
    larger = with_disk(mine, 150)
    planned = preview(larger.cloud)
    assert any(step.line == "disk: 150 GiB instead of 100, everything on it kept" for step in planned.steps)
    after = larger.up().instance
    assert before and after and (after.id, after.disk_gib) == (before.id, 150)
    assert sizes(larger) == [150]
    assert not any(step.title == "disk" for step in preview(larger.cloud).steps)


def test_an_up_that_was_cut_after_the_modification_only_notes_it(laptop: Make) -> None:
    mine = laptop(disk=Disk(size_gib=100))
    mine.up()
    [volume] = mine.observe().volumes
    mine.cloud.ec2.modify_volume(VolumeId=volume.id, Size=150)
    larger = with_disk(mine, 150)
    # Another modification would count: AWS allows four in 24 hours.
    assert larger.up().instance.disk_gib == 150  # type: ignore[union-attr]


def test_it_grows_four_times_a_day_and_the_fifth_is_said_to_be_too_soon(laptop: Make) -> None:
    mine = laptop(disk=Disk(size_gib=100))
    mine.up()
    for size in (110, 120, 130, 140):
        with_disk(mine, size).up()
    with pytest.raises(CloudError, match="four times in 24 hours") as refused:
        with_disk(mine, 150).up()
    assert "a day after the first change, or set disk.size_gib back" in str(refused.value)
    assert sizes(mine) == [140]


def test_a_disk_that_aws_still_optimizes_is_said_to_be_so(laptop: Make, weather: Weather) -> None:
    weather(delays={"optimizing": 3600.0})
    mine = laptop(disk=Disk(size_gib=100))
    mine.up()
    with_disk(mine, 150).up()  # does not wait for that
    with pytest.raises(CloudError, match="still being optimized") as refused:
        with_disk(mine, 200).up()
    assert "minutes as a rule, hours for a large disk" in str(refused.value)
    assert sizes(mine) == [150]
    [modification] = mine.cloud.ec2.describe_volumes_modifications()["VolumesModifications"]
    assert modification["ModificationState"] == "optimizing"


def test_a_smaller_one_is_refused_before_anything_is_changed(laptop: Make) -> None:
    mine = laptop(disk=Disk(size_gib=100))
    mine.up()
    with pytest.raises(InputError, match="has 100 GiB, and a volume cannot shrink") as refused:
        with_disk(mine, 80).up()
    assert refused.value.exit_code == 2 and sizes(mine) == [100]


def test_a_disk_that_aws_finds_smaller_than_the_image_is_named(laptop: Make, weather: Weather) -> None:
    # As recorded, with its two spaces: https://github.com/scylladb/scylla-cluster-tests/issues/2484
    words = "Volume of size 15GB is smaller than  snapshot 'snap-f0af74392907b24b6', expect size >= 300GB"
    weather(faults=[{"operation": "RunInstances", "code": "InvalidBlockDeviceMapping", "message": words}])
    with pytest.raises(InputError, match="needs 300 GiB"):
        laptop().up()


def test_a_box_of_an_older_gpu_box_is_left_as_it_is(laptop: Make, owner: Owner) -> None:
    mine = laptop(disk=Disk(size_gib=100))
    instance = mine.up().instance
    assert instance
    owner("ec2").delete_tags(Resources=[instance.id], Tags=[{"Key": "gpu-box:disk-gib"}])
    assert with_disk(mine, 150).up().instance.disk_gib is None  # type: ignore[union-attr]
    assert sizes(mine) == [100]


def test_another_box_s_disk_is_not_touched(laptop: Make, owner: Owner) -> None:
    mine = laptop(disk=Disk(size_gib=100))
    instance = mine.up().instance
    assert instance
    ec2 = owner("ec2")
    other = ec2.create_volume(AvailabilityZone=instance.zone, Size=10, VolumeType="gp3")["VolumeId"]
    ec2.attach_volume(VolumeId=other, InstanceId=instance.id, Device="/dev/sdf")
    act(mine.cloud, [GrowDisk(instance_id=instance.id, before=100, size_gib=120)], Recorder(), mine.observe())
    [seen] = ec2.describe_volumes(VolumeIds=[other])["Volumes"]
    assert seen["Size"] == 10 and sizes(mine) == [120]
    ec2.detach_volume(VolumeId=other, InstanceId=instance.id, Device="/dev/sdf")
    ec2.delete_volume(VolumeId=other)


def test_the_order_of_the_steps_puts_it_before_the_start() -> None:
    assert GrowDisk.stage < StartInstance.stage
