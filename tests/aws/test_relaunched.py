"""AWS relaunches a spot instance without tags: gpu-box finds it, and does not launch a second one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from testbed.cloud import UBUNTU, wait_until

from gpu_box.aws import tags
from gpu_box.aws.observe import observe_every_box
from gpu_box.aws.sweep.sweep import remove, sweep
from gpu_box.config.model import Aws
from gpu_box.model.observed import InstanceState

from .conftest import Laptop, Owner, Weather


@pytest.fixture
def relaunched(laptop: Callable[..., Laptop], owner: Owner, weather: Weather) -> str:
    """A spot box whose instance was terminated in the console: the id of AWS's next one, which runs."""
    mine, ec2 = laptop(market="spot"), owner("ec2")
    found = mine.up().instance
    assert found is not None
    weather(delays={"spot-relaunch": 0.1})
    ec2.terminate_instances(InstanceIds=[found.id])
    running = [
        {"Name": "instance-state-name", "Values": ["running"]},
        {"Name": "instance.group-name", "Values": [tags.resource_name(mine.config)]},
    ]

    def new() -> list[str]:
        reservations = ec2.describe_instances(Filters=running)["Reservations"]
        return [i["InstanceId"] for r in reservations for i in r["Instances"] if i["InstanceId"] != found.id]

    wait_until(lambda: bool(new()))
    [id_] = new()
    return id_


def state_of(owner: Owner, instance_id: str) -> str:
    reservations = owner("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    return str(reservations[0]["Instances"][0]["State"]["Name"])


def test_it_counts_as_the_box(laptop: Callable[..., Laptop], relaunched: str) -> None:
    seen = laptop(market="spot").observe()
    assert [one.id for one in seen.live] == [relaunched]
    assert not seen.nothing_left


def test_ls_and_sweep_find_it_and_sweep_removes_it(
    laptop: Callable[..., Laptop], relaunched: str, owner: Owner, weather: Weather
) -> None:
    weather(regions=["us-east-1"])
    mine = laptop(market="spot")
    name = mine.config.name
    assert [
        row.instance.id for row in observe_every_box(mine.cloud) if row.box == name and row.instance.exists
    ] == [relaunched]
    swept = sweep(mine.cloud, everything=False, report=mine.report).mine(tags.owner(mine.config), name)
    assert [one.id for one in swept if one.kind == "instance" and one.state == "running"] == [relaunched]
    assert remove(mine.cloud, swept, report=mine.report).unread == ()
    assert state_of(owner, relaunched) == "terminated"


def test_up_takes_it_tags_it_and_arms_its_deadline(laptop: Callable[..., Laptop], relaunched: str) -> None:
    up = laptop(market="spot").up()
    assert up.instance is not None
    assert [(one.id, one.tagged, one.owner) for one in up.live] == [
        (relaunched, True, tags.owner(laptop().config))
    ]
    assert up.deadline is not None and up.deadline.instance_id == relaunched


@pytest.mark.parametrize("more", [{"market": "spot"}, {}, {"aws": Aws(tags=(("CostCenter", "ml-7"),))}])
def test_stop_stops_it(laptop: Callable[..., Laptop], relaunched: str, more: dict[str, Any]) -> None:
    stopped = laptop(**more).stop().instance
    assert stopped is not None
    assert (stopped.id, stopped.state) == (relaunched, InstanceState.STOPPED)


@pytest.mark.parametrize("market", ["spot", "on-demand"])
def test_down_leaves_nothing_running(
    laptop: Callable[..., Laptop], relaunched: str, market: str, owner: Owner
) -> None:
    assert laptop(market=market).down().nothing_left
    assert state_of(owner, relaunched) == "terminated"


def test_up_before_aws_has_launched_again_leaves_one_box(
    laptop: Callable[..., Laptop], owner: Owner, weather: Weather
) -> None:
    mine = laptop(market="spot")
    found = mine.up().instance
    assert found is not None
    weather(delays={"spot-relaunch": 2.0})
    owner("ec2").terminate_instances(InstanceIds=[found.id])
    wait_until(lambda: state_of(owner, found.id) == "terminated")
    [again] = mine.up().live
    weather(delays={"spot-relaunch": 0.0})
    weather()  # time for a round
    assert [one.id for one in mine.observe().live] == [again.id]


def test_another_s_spot_instance_behind_the_box_s_group_is_not_the_box(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    mine, ec2 = laptop(), owner("ec2")
    group = mine.up().group
    assert group is not None
    image = mine.cloud.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    theirs = ec2.run_instances(
        ImageId=image, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1, SecurityGroupIds=[group.id],
        InstanceMarketOptions={"MarketType": "spot"},
    )["Instances"][0]["InstanceId"]  # fmt: skip
    try:
        assert theirs not in [one.id for one in mine.observe().live]
        mine.stop()
        assert state_of(owner, theirs) in ("pending", "running")
    finally:
        ec2.terminate_instances(InstanceIds=[theirs])


def test_the_policy_lets_none_but_such_an_instance_be_tagged(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    mine, ec2 = laptop(), owner("ec2")
    own = [{"Key": tags.NAME, "Value": "mine-now"}]
    image = mine.cloud.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    named = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "theirs"}]}]
    for theirs in (
        {},
        {"InstanceMarketOptions": {"MarketType": "spot"}, "TagSpecifications": named},
    ):
        launched = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, **theirs)
        id_ = launched["Instances"][0]["InstanceId"]
        try:
            with pytest.raises(ClientError, match="UnauthorizedOperation"):
                mine.cloud.ec2.create_tags(Resources=[id_], Tags=own)
        finally:
            ec2.terminate_instances(InstanceIds=[id_])
