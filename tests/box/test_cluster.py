"""A cluster: equal boxes close to each other, reachable only by each other; `down` leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.aws.cluster import make_cluster, read_cluster, remove_cluster
from gpu_box.aws.observe import observe
from gpu_box.aws.sweep.sweep import sweep
from gpu_box.box import cluster
from gpu_box.box.members import configs_of, members_of, only_member
from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.plan import box as plan

from ..aws.conftest import Laptop, Recorder

Make = Callable[..., Laptop]


@pytest.fixture
def pair(laptop: Make) -> tuple[Laptop, Laptop]:
    """Two members, with their shared resources created."""
    whole = laptop(boxes=2)
    first, second = (Laptop(member.config) for member in members_of(whole.cloud))
    make_cluster(first.cloud, whole.report)
    return first, second


def take_down(pair: tuple[Laptop, Laptop]) -> None:
    for member in pair:
        member.down()
    assert remove_cluster(pair[0].cloud, pair[0].report)


def test_members_are_close_and_reach_each_other_alone(pair: tuple[Laptop, Laptop]) -> None:
    first, second = pair
    one, other = first.up().instance, second.up().instance
    assert one and other and one.id != other.id and one.private_address != other.private_address
    ec2 = first.cloud.ec2
    raw = [
        instance
        for reservation in ec2.describe_instances(InstanceIds=[one.id, other.id])["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert {instance["Placement"]["GroupName"] for instance in raw} == {
        f"gpu-box-{first.config.name}.cluster"
    }
    own = [{group["GroupId"] for group in instance["SecurityGroups"]} for instance in raw]
    [common] = own[0] & own[1]
    [rule] = ec2.describe_security_groups(GroupIds=[common])["SecurityGroups"][0]["IpPermissions"]
    assert rule["IpRanges"] == rule["Ipv6Ranges"] == rule["PrefixListIds"] == []
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [common]
    take_down(pair)


def test_what_they_share_is_made_once_however_often_it_is_asked_for(pair: tuple[Laptop, Laptop]) -> None:
    first, second = pair
    before = read_cluster(first.cloud)
    for member in pair:
        make_cluster(member.cloud, member.report)
    assert read_cluster(second.cloud) == before and before[1]
    assert remove_cluster(first.cloud, first.report)
    assert read_cluster(first.cloud) == (None, False)
    assert remove_cluster(first.cloud, first.report)  # nothing to do the second time


def test_one_member_taken_down_leaves_the_other_and_what_they_share(pair: tuple[Laptop, Laptop]) -> None:
    first, second = pair
    first.up()
    second.up()
    second.down()
    assert first.observe().instance is not None
    assert read_cluster(first.cloud)[1]
    take_down(pair)


def test_a_box_alone_does_not_see_the_cluster_s_group_as_its_own(pair: tuple[Laptop, Laptop]) -> None:
    first, _ = pair
    assert first.observe().group is None
    assert plan.down(first.observe()) == []
    take_down(pair)


def test_a_sweep_finds_what_a_cluster_left(pair: tuple[Laptop, Laptop]) -> None:
    first, _ = pair
    name = f"{first.config.name}.cluster"
    swept = sweep(first.cloud, everything=False, report=Recorder())
    kinds = {one.kind for one in swept.found if one.box == name}
    assert kinds == {"security group", "placement group"}
    take_down(pair)


def test_down_of_the_whole_cluster_leaves_nothing(laptop: Make) -> None:
    whole = laptop(boxes=2)
    members = members_of(whole.cloud)
    make_cluster(members[0], whole.report)
    for member in members:
        Laptop(member.config).up()
    cluster.down(whole.cloud, whole.report)
    assert all(observe(member).nothing_left for member in members)
    assert read_cluster(members[0]) == (None, False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"instance_types": ("g4dn.xlarge", "t3.large")}, "t3.large cannot be in a cluster placement group"),
        ({"name": "a" * 31}, "over 32 characters"),
    ],
)
def test_what_no_cluster_can_be_is_refused_before_anything_is_asked(
    changed: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        configs_of(replace(Config(name="ada", boxes=2), **changed))  # type: ignore[arg-type]


def test_members_are_named_for_the_box_and_one_box_is_itself() -> None:
    alone = Config(name="ada")
    assert configs_of(alone) == (alone,)
    named = configs_of(Config(name="ada", boxes=3))
    assert [(member.name, member.cluster, member.boxes) for member in named] == [
        ("ada", "ada", 1),
        ("ada-2", "ada", 1),
        ("ada-3", "ada", 1),
    ]


def test_what_is_of_one_box_asks_which() -> None:
    with pytest.raises(InputError, match="one box at a time"):
        only_member(Cloud(Config(name="ada", boxes=2)), "--watch")
