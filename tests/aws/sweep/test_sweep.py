"""`sweep` finds and prices what bills in any region, and removes only the user's own resources."""

from __future__ import annotations

import getpass
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from testbed.cloud import SPOT

from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe, observe_all
from gpu_box.aws.sweep.leftovers import read_region
from gpu_box.aws.sweep.sweep import enabled_regions, remove, sweep
from gpu_box.cli.box import mention_forgotten
from gpu_box.cli.context import Options
from gpu_box.cli.main import main
from gpu_box.config.model import Config, Limits
from gpu_box.errors import CloudError
from gpu_box.model.leftovers import Leftover, Swept
from gpu_box.model.observed import Observed
from gpu_box.view.sweep import forgotten_lines
from local_aws import daemon
from tests.paths import POLICY

from ..conftest import Laptop, Owner, Recorder, Weather
from ..proxy import Seen, proxied

ME = getpass.getuser()
FEW = ["us-east-1", "eu-west-2", "sa-east-1"]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


@pytest.fixture
def account(owner: Owner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Owner:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return owner


@pytest.fixture(autouse=True)
def _few_regions(weather: Weather) -> None:
    weather(regions=FEW)


@pytest.fixture(autouse=True)
def _nothing_stays(account: Owner, _few_regions: None, cloud_home: Path) -> Iterator[None]:
    yield
    os.environ.update(daemon.start_as_owner(cloud_home, POLICY))  # other users' resources are not removed
    if found := looked(everything=True).found:
        remove(Cloud(Config()), found, report=Recorder())
        assert looked(everything=True).found == ()


def looked(*, everything: bool = False, **settings: Any) -> Swept:
    return sweep(Cloud(Config(**settings)), everything=everything, report=Recorder())


def tags(kind: str, **of: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": f"gpu-box:{k}", "Value": v} for k, v in of.items()]}]


def launch(ec2: Any, ssm: Any, kind: str = "g4dn.xlarge", **more: Any) -> str:
    image = ssm.get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    made = ec2.run_instances(ImageId=image, InstanceType=kind, MinCount=1, MaxCount=1, **more)
    ec2.get_waiter("instance_running").wait(
        InstanceIds=[made["Instances"][0]["InstanceId"]], WaiterConfig={"Delay": 1}
    )
    return str(made["Instances"][0]["InstanceId"])


def by_kind(swept: Swept) -> dict[str, Leftover]:
    assert len({one.kind for one in swept.found}) == len(swept.found), swept.found
    return {one.kind: one for one in swept.found}


def test_an_account_with_nothing_has_nothing(account: Callable[..., Any]) -> None:
    swept = looked(everything=True)
    assert swept.found == () and swept.unread == ()
    assert list(swept.regions) == sorted(FEW)
    assert swept.usd_month == 0


def test_a_box_is_found_wherever_it_is_with_all_that_belongs_to_it(
    account: Callable[..., Any], laptop: Callable[..., Laptop]
) -> None:
    box = laptop(region="eu-west-2")
    box.up()
    found = by_kind(looked())
    assert set(found) == {"instance", "volume", "security group", "key pair", "schedule", "role"}
    shared = found.pop("role")
    assert (shared.box, shared.owner, shared.region, shared.usd_month) == ("", "", "eu-west-2", 0)
    assert {one.box for one in found.values()} == {box.config.name}
    assert {one.owner for one in found.values()} == {ME}, "a schedule's too"
    assert {one.region for one in found.values()} == {"eu-west-2"}
    # eu-west-2's prices: a fifth above us-east-1, except for the address.
    assert found["instance"].usd_month == (Decimal("0.526") * Decimal("1.2") + Decimal("0.005")) * 730
    assert found["volume"].usd_month == Decimal("9.6")
    box.down()


def test_everything_that_is_ours_is_removed_whatever_it_is(account: Callable[..., Any]) -> None:
    ec2, ssm = account("ec2", "eu-west-2"), account("ssm", "eu-west-2")
    mine = {"name": "box", "owner": ME}
    instance = launch(
        ec2,
        ssm,
        TagSpecifications=tags("instance", **mine) + tags("spot-instances-request", **mine),
        InstanceMarketOptions=SPOT,
    )
    volume = ec2.create_volume(
        AvailabilityZone="eu-west-2a", Size=100, VolumeType="gp3", TagSpecifications=tags("volume", **mine)
    )["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume])
    snapshot = ec2.create_snapshot(VolumeId=volume, TagSpecifications=tags("snapshot", **mine))["SnapshotId"]
    address = ec2.allocate_address(TagSpecifications=tags("elastic-ip", **mine))["AllocationId"]
    image = ec2.create_image(
        InstanceId=instance, Name="baked", TagSpecifications=tags("image", **mine) + tags("snapshot", **mine)
    )["ImageId"]
    swept = looked()
    ids = {one.id for one in swept.found}
    assert {instance, volume, snapshot, address, image} <= ids
    usd = {one.id: one.usd_month for one in swept.found}
    assert (usd[volume], usd[snapshot], usd[address]) == (Decimal("9.6"), Decimal("6"), Decimal("3.65"))
    [request] = [one for one in swept.found if one.kind == "spot request"]
    assert "until it is cancelled" in request.note
    assert remove(Cloud(Config()), swept.mine(ME), report=Recorder()).unread == ()
    assert looked().found == ()


def test_what_others_left_is_listed_on_request_and_never_removed(account: Callable[..., Any]) -> None:
    ec2, ssm = account("ec2", "sa-east-1"), account("ssm", "sa-east-1")
    gpu = launch(ec2, ssm, "g5.xlarge")
    launch(ec2, ssm, "t3.micro")
    volume = ec2.create_volume(AvailabilityZone="sa-east-1a", Size=50, VolumeType="gp2")["VolumeId"]
    address = ec2.allocate_address()["AllocationId"]
    spot = launch(ec2, ssm, "t3.micro", InstanceMarketOptions=SPOT)
    [asked] = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    request = asked["SpotInstanceRequestId"]
    assert asked["InstanceId"] == spot
    assert looked().found == ()
    swept = looked(everything=True)
    assert {one.id for one in swept.found} == {gpu, volume, address, request}
    assert swept.mine(ME) == ()
    usd = {one.id: one.usd_month for one in swept.found}
    assert usd[gpu] == (Decimal("1.006") * Decimal("1.2") + Decimal("0.005")) * 730
    assert usd[volume] == Decimal("6")
    ec2.terminate_instances(InstanceIds=[gpu])
    others = [i["InstanceId"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    ec2.terminate_instances(InstanceIds=others)


def test_old_snapshots_and_images_of_others_are_listed(account: Callable[..., Any]) -> None:
    ec2 = account("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=10)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2.delete_volume(VolumeId=volume)
    cloud = Cloud(Config())
    now = datetime.now(UTC)
    assert read_region(cloud, everything=True, now=now) == []
    [old] = read_region(cloud, everything=True, now=now + timedelta(days=31))
    assert (old.id, old.usd_month) == (snapshot, Decimal("0.5"))
    instance = launch(ec2, account("ssm"), "t3.micro")
    image = ec2.create_image(InstanceId=instance, Name="theirs")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    ec2.terminate_instances(InstanceIds=[instance])
    assert read_region(cloud, everything=True, now=now) == []
    olds = read_region(cloud, everything=True, now=now + timedelta(days=31))
    assert sorted(one.kind for one in olds) == ["image", "snapshot", "snapshot"]
    [found] = [one for one in olds if one.kind == "image"]
    assert (found.id, "its snapshots bill" in found.note) == (image, True)
    ec2.deregister_image(ImageId=image)
    for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        if one["SnapshotId"] != snapshot:
            ec2.delete_snapshot(SnapshotId=one["SnapshotId"])
    assert read_region(cloud, everything=False, now=now + timedelta(days=31)) == []
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_another_user_s_box_in_the_account_is_listed_and_left(
    account: Callable[..., Any], laptop: Callable[..., Laptop]
) -> None:
    hers, mine = laptop(name="hers", owner="grace"), laptop(name="mine")
    hers.up()
    mine.up()
    swept = looked()
    assert {one.box for one in swept.found} == {"hers", "mine", ""}
    assert {one.box for one in swept.mine(ME)} == {"mine"}
    assert swept.mine(ME, box="hers") == ()
    assert len(swept.mine("grace")) == 5, "her schedule is hers, too; the role is of both boxes"
    remove(Cloud(Config()), swept.mine(ME), report=Recorder())
    left = looked()
    assert {one.box for one in left.found} == {"hers", ""}
    assert [one.kind for one in left.mine("grace") if not one.box] == ["role"], "the last box takes it along"
    hers.down()


def test_a_deadline_whose_owner_is_not_known_is_left(
    account: Callable[..., Any], laptop: Callable[..., Laptop]
) -> None:
    """Remains of a box without tags may be another user's, even under this box's name."""
    mine = laptop()
    mine.up()
    scheduler, name = mine.cloud.client("scheduler"), f"gpu-box-{mine.config.name}"
    raw = scheduler.get_schedule(Name=name)
    keys = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{key: raw[key] for key in keys}, Description="another description")
    elsewhere = laptop(region="sa-east-1", name=mine.config.name, owner="grace")
    elsewhere.up()
    [hers] = [one for one in looked().mine("grace") if one.kind == "schedule"]
    assert hers.region == "sa-east-1", "a box of the same name in another region is another box"
    remove(Cloud(Config()), [one for one in looked().mine(ME) if one.kind != "schedule"], report=Recorder())
    alone = looked()
    [schedule] = [one for one in alone.found if one.kind == "schedule" and one.region != "sa-east-1"]
    assert schedule.owner == ""
    assert not [one for one in alone.mine(ME) if one.region == schedule.region], "its role stays with it"
    scheduler.delete_schedule(Name=name)
    elsewhere.down()


def test_all_regions_are_looked_at_at_the_same_time(
    account: Callable[..., Any], aws: dict[str, str], weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All regions are asked before the first one answers."""
    weather(regions=[])
    regions = enabled_regions(Cloud(Config()))
    assert len(regions) == 20
    together = threading.Barrier(len(regions))
    asked: set[str] = set()

    def hold(seen: Seen) -> None:
        if seen.operation == "DescribeInstances" and seen.region not in asked:
            asked.add(seen.region)
            together.wait(timeout=60)

    with proxied(aws["AWS_ENDPOINT_URL"], hold) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        swept = looked()
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws["AWS_ENDPOINT_URL"])
    assert asked == set(regions)
    assert not together.broken
    assert swept.unread == ()


def test_a_region_that_does_not_answer_is_named_and_the_others_are_read(
    account: Callable[..., Any], laptop: Callable[..., Laptop], weather: Weather
) -> None:
    box = laptop()
    box.up()
    weather(faults=[{"operation": "DescribeVolumes", "code": "UnauthorizedOperation", "status": 403}])
    swept = looked()
    weather(faults=[])
    assert len(swept.unread) == 1
    assert "DescribeVolumes" in swept.unread[0].why
    denied = {"service": "iam", "operation": "ListRoles", "code": "AccessDenied", "status": 403}
    weather(faults=[denied])
    assert [one.region for one in looked().unread] == ["global"]
    box.down()


def test_without_the_list_of_regions_nothing_is_claimed(
    account: Callable[..., Any], weather: Weather
) -> None:
    weather(faults=[{"operation": "DescribeRegions", "code": "UnauthorizedOperation", "status": 403}])
    with pytest.raises(CloudError, match="listing regions"):
        looked()


def test_only_enabled_regions_are_asked(account: Callable[..., Any], weather: Weather) -> None:
    ec2 = account("ec2")
    assert {r["RegionName"] for r in ec2.describe_regions()["Regions"]} == set(FEW)
    weather(regions=[])
    enabled = {r["RegionName"]: r["OptInStatus"] for r in ec2.describe_regions()["Regions"]}
    every = {r["RegionName"]: r["OptInStatus"] for r in ec2.describe_regions(AllRegions=True)["Regions"]}
    assert "not-opted-in" not in enabled.values()
    assert every.keys() > enabled.keys()
    assert not [name for name in every if name.startswith(("cn-", "us-gov-"))]
    [one] = ec2.describe_regions(RegionNames=["eu-west-1"])["Regions"]
    assert one["RegionName"] == "eu-west-1"


def test_a_box_that_lies_stopped_for_long_is_called_forgotten(
    account: Callable[..., Any], laptop: Callable[..., Laptop]
) -> None:
    box = laptop()
    box.up()
    box.stop()
    now = datetime.now(UTC)
    cloud = Cloud(replace(box.config, limits=Limits(forgotten_after=timedelta(days=20))))

    def note(days: int) -> str:
        found = read_region(cloud, everything=False, now=now + timedelta(days=days))
        return next(one.note for one in found if one.kind == "instance")

    assert note(19) == "g4dn.xlarge, stopped for 19 d"
    assert note(21) == "g4dn.xlarge, stopped for 21 d: forgotten? Its disk still bills"

    def lines(days: int) -> list[str]:
        at = now + timedelta(days=days)
        return list(forgotten_lines(observe_all(cloud), at, after=timedelta(days=20)))

    assert lines(19) == []
    [line] = lines(21)
    assert line == (
        f"{box.config.name} ({ME}) has been stopped for 21 d, and its disk still bills: "
        f"`gpu-box --name {box.config.name} down` removes it"
    )
    box.down()


def test_status_mentions_the_users_own_forgotten_boxes(
    account: Callable[..., Any],
    laptop: Callable[..., Laptop],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    box = laptop()
    box.up()
    box.stop()

    def seen_as(**changed: str) -> Observed:
        monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / str(changed)))  # another laptop
        return observe(Cloud(replace(box.config, **changed)), need="status")

    seen, elsewhere = seen_as(), seen_as(name="another")
    plain = Options(config=None, name=None, local=False, json=False, yes=False, debug=False)
    soon = replace(box.config, limits=Limits(forgotten_after=timedelta(0)))
    for config, observed in ((soon, seen), (replace(soon, name="another"), elsewhere)):
        mention_forgotten(plain, config, observed)
        assert f"{box.config.name} ({ME}) has been stopped for " in capsys.readouterr().err
    mention_forgotten(plain, soon, seen_as(name="another", owner="a colleague"))
    assert capsys.readouterr().err == ""
    assert seen_as(name="another").others == ()  # once a day
    mention_forgotten(plain, box.config, seen)
    mention_forgotten(replace(plain, json=True), soon, seen)
    assert capsys.readouterr().err == ""
    box.down()


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_text("region: us-east-1\n")
    return ["--config", str(path)]


def test_the_command_lists_then_asks_then_removes_then_reads_back(
    account: Callable[..., Any],
    laptop: Callable[..., Laptop],
    config: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    box = laptop(region="sa-east-1")
    box.up()
    assert main([*config, "sweep"]) == 0
    shown = capsys.readouterr().out
    assert f"{box.config.name} ({ME}), sa-east-1\n  instance " in shown
    assert "a month at present, in 3 regions." in shown
    assert main([*config, "sweep", "--remove"]) == 2, "there is no terminal to ask on"
    said = capsys.readouterr().err
    assert f"of {box.config.name}" in said and "Remove these 6" in said
    assert box.observe().instance is not None
    assert main([*config, "--name", "another", "sweep", "--remove", "--yes"]) == 0
    assert box.observe().instance is not None, "--name keeps to that box"
    capsys.readouterr()
    assert main([*config, "sweep", "--remove", "--yes", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (len(answer["removed"]), answer["left"], answer["unread"]) == (6, [], [])
    assert box.observe().nothing_left
    assert main([*config, "sweep", "--all"]) == 0
    assert capsys.readouterr().out == "Nothing is left in 3 regions.\n"


def test_what_could_not_be_looked_at_is_an_exit_code(
    account: Callable[..., Any], weather: Weather, config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    weather(faults=[{"operation": "DescribeSnapshots", "code": "UnauthorizedOperation", "status": 403}])
    assert main([*config, "sweep"]) == 1
    assert "NOT checked: " in capsys.readouterr().out
