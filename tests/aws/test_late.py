"""AWS shows new resources late: none is created twice, treated as removed, or left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from testbed.cloud import UBUNTU

from gpu_box.aws.cluster import make_cluster, remove_cluster
from gpu_box.aws.steps.instance import wait_for_instance
from gpu_box.aws.steps.work import Work
from gpu_box.box import image
from gpu_box.model.observed import BAKED, InstanceState, Observed
from gpu_box.plan.steps import WaitForInstance

from ..faults.faults import FAULTS, Killed, Place, Saboteur
from .conftest import Laptop, Owner, Weather

LATE_S = 0.6  # in place of AWS's two seconds: no test sleeps longer than a tenth of a second


@pytest.fixture(autouse=True)
def late(weather: Weather) -> Iterator[None]:
    weather(delays={"visible": LATE_S, "pending": 0.1, "iam": 0.1})
    yield
    weather(delays={"visible": 0})


def killed(laptop: Laptop, at: Place) -> None:
    Saboteur(at, FAULTS["killed after"]).follow(laptop.cloud)
    with pytest.raises(Killed):
        laptop.up()


@pytest.mark.parametrize("market", ["on-demand", "spot"])
def test_up_and_down_wait_for_what_aws_does_not_show_yet(laptop: Callable[..., Laptop], market: str) -> None:
    mine = laptop(market=market)
    up = mine.up()
    assert [one.state for one in up.live] == [InstanceState.RUNNING]
    assert mine.down().nothing_left


@pytest.mark.parametrize("place", [("CreateSecurityGroup", 1), ("ImportKeyPair", 1), ("RunInstances", 1)])
def test_an_up_that_was_killed_is_finished_by_the_next_with_one_instance(
    laptop: Callable[..., Laptop], place: Place
) -> None:
    killed(laptop(), place)
    assert len(laptop().up().live) == 1


def test_down_right_after_a_killed_up_leaves_nothing(laptop: Callable[..., Laptop]) -> None:
    killed(laptop(), ("RunInstances", 1))
    laptop().down()
    assert laptop().observe().nothing_left


def test_an_instance_that_is_not_shown_yet_is_waited_for_and_not_taken_for_terminated(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    mine, ec2 = laptop(), owner("ec2")
    image = mine.cloud.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    launched = ec2.run_instances(ImageId=image, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1)
    id_ = launched["Instances"][0]["InstanceId"]
    work = Work(mine.cloud, mine.report, Observed(region="us-east-1"))
    try:
        wait_for_instance(WaitForInstance(instance_id=id_, state=InstanceState.RUNNING), work)
    finally:
        ec2.terminate_instances(InstanceIds=[id_])
    assert any("does not show it yet" in line for line in mine.report.lines)


def test_a_cluster_that_another_has_just_begun_is_finished(laptop: Callable[..., Laptop]) -> None:
    dying = laptop(cluster="begun", instance_types=("g5.xlarge",))
    Saboteur(("CreateSecurityGroup", 1), FAULTS["killed after"]).follow(dying.cloud)
    with pytest.raises(Killed):
        make_cluster(dying.cloud, dying.report)
    mine = laptop(cluster="begun", instance_types=("g5.xlarge",))
    make_cluster(mine.cloud, mine.report)
    assert remove_cluster(mine.cloud, mine.report)


def test_a_bake_waits_until_aws_shows_the_image(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    made = image.begin(mine.cloud, BAKED, mine.report)
    assert [one.id for one in image.end(mine.cloud, made, mine.report).images] == [made.id]


def test_a_cluster_is_made_in_one_go(laptop: Callable[..., Laptop]) -> None:
    mine = laptop(cluster="late", instance_types=("g5.xlarge",))
    make_cluster(mine.cloud, mine.report)
    assert len(mine.up().live) == 1
    mine.down()
    assert remove_cluster(mine.cloud, mine.report)
