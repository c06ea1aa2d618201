"""New resources are not visible at once, as in the EC2 Developer Guide ("Eventual consistency")."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from testbed.cloud import Cloud, KeyFile, wait_until

from ..errors import refused

LATE_S = 1.5


@pytest.fixture
def late(cloud: Cloud) -> Cloud:
    cloud.ubuntu()
    cloud.weather(delays={"visible": LATE_S})
    return cloud


def test_a_new_instance_is_found_neither_by_filter_nor_by_id_and_then_it_is(late: Cloud) -> None:
    instance = late.run()
    calls: list[Callable[..., Any]] = [
        late.ec2.describe_instances, late.ec2.stop_instances, late.ec2.terminate_instances
    ]  # fmt: skip
    for call in calls:
        with refused("InvalidInstanceID.NotFound", saying=instance):
            call(InstanceIds=[instance])
    with refused("InvalidInstanceID.NotFound", saying=instance):
        late.ec2.create_tags(Resources=[instance], Tags=[{"Key": "a", "Value": "b"}])
    by_filter = [{"Name": "instance-id", "Values": [instance]}]
    assert late.ec2.describe_instances(Filters=by_filter)["Reservations"] == []
    assert late.ec2.describe_volumes()["Volumes"] == []
    wait_until(lambda: bool(late.ec2.describe_instances(Filters=by_filter)["Reservations"]))
    late.ec2.terminate_instances(InstanceIds=[instance])


def test_a_new_group_is_not_found_but_its_name_is_taken(late: Cloud) -> None:
    new = {"GroupName": "box", "Description": "box"}
    group = late.ec2.create_security_group(**new)["GroupId"]
    with refused("InvalidGroup.NotFound"):
        late.admit(group, "127.0.0.1/32")
    with refused("InvalidGroup.NotFound"):
        late.run(SecurityGroupIds=[group])
    with refused("InvalidGroup.Duplicate"):
        late.ec2.create_security_group(**new)
    time.sleep(LATE_S)
    late.admit(group, "127.0.0.1/32")


def test_a_new_key_pair_is_not_found_but_its_name_is_taken(late: Cloud, key: KeyFile) -> None:
    new = {"KeyName": "key", "PublicKeyMaterial": key.public.encode()}
    late.ec2.import_key_pair(**new)
    assert late.ec2.describe_key_pairs()["KeyPairs"] == []
    with refused("InvalidKeyPair.NotFound"):
        late.run(KeyName="key")
    with refused("InvalidKeyPair.Duplicate"):
        late.ec2.import_key_pair(**new)


def test_a_new_placement_group_is_unknown(late: Cloud) -> None:
    late.ec2.create_placement_group(GroupName="near", Strategy="cluster")
    assert late.ec2.describe_placement_groups()["PlacementGroups"] == []
    with refused("InvalidPlacementGroup.Unknown"):
        late.run(Placement={"GroupName": "near"}, InstanceType="g5.xlarge")


def test_a_client_token_is_known_before_its_instance_is_seen(late: Cloud) -> None:
    assert late.run(ClientToken="once") == late.run(ClientToken="once")


def test_the_real_timing_is_that_of_aws_compressed_by_one_factor(cloud: Cloud) -> None:
    delays = cloud.weather(timing="real", faster=20)["delays"]
    assert (delays["visible"], delays["iam"], delays["stopping"]) == (0.1, 0.6, 3.0)
    for wrong in ({"timing": "unreal"}, {"faster": 2}, {"timing": "real", "faster": 0}):
        assert cloud.http("POST", "/embedded/weather", wrong)[0] == 400
