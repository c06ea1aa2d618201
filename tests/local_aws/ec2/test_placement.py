"""Placement groups as in EC2: unique names, found by tag, in use until their last instance has ended."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from testbed.cloud import Cloud

from ..errors import refused

TAGS = [{"ResourceType": "placement-group", "Tags": [{"Key": "gpu-box:name", "Value": "ada.cluster"}]}]


def test_a_name_is_taken_once_and_found_by_its_tag(cloud: Cloud) -> None:
    ec2 = cloud.ec2
    made = ec2.create_placement_group(GroupName="close", Strategy="cluster", TagSpecifications=TAGS)
    assert made["PlacementGroup"]["State"] == "available"
    with refused("InvalidPlacementGroup.Duplicate"):
        ec2.create_placement_group(GroupName="close", Strategy="cluster")
    ec2.create_placement_group(GroupName="other", Strategy="spread")
    wanted = [{"Name": "tag:gpu-box:name", "Values": ["ada.cluster"]}]
    [found] = ec2.describe_placement_groups(Filters=wanted)["PlacementGroups"]
    assert (found["GroupName"], found["Strategy"]) == ("close", "cluster")
    ec2.delete_placement_group(GroupName="close")
    assert ec2.describe_placement_groups(Filters=wanted)["PlacementGroups"] == []
    with refused("InvalidPlacementGroup.Unknown"):
        ec2.delete_placement_group(GroupName="close")


def test_it_is_in_use_until_its_last_instance_is_terminated(cloud: Cloud) -> None:
    ec2 = cloud.ec2
    ec2.create_placement_group(GroupName="close", Strategy="cluster")
    instance = cloud.run(Placement={"GroupName": "close"})
    assert cloud.see(instance)["Placement"]["GroupName"] == "close"
    with refused("InvalidPlacementGroup.InUse"):
        ec2.delete_placement_group(GroupName="close")
    ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    ec2.delete_placement_group(GroupName="close")


@pytest.mark.parametrize(
    ("group", "type_", "code"),
    [
        ("absent", "g4dn.xlarge", "InvalidPlacementGroup.Unknown"),
        ("close", "t3.micro", "InvalidParameterCombination"),
    ],
)
def test_a_launch_that_it_cannot_take_is_refused(cloud: Cloud, group: str, type_: str, code: str) -> None:
    cloud.ec2.create_placement_group(GroupName="close", Strategy="cluster")
    with pytest.raises(ClientError) as error:
        cloud.run(InstanceType=type_, Placement={"GroupName": group})
    assert error.value.response["Error"]["Code"] == code


def test_private_addresses_are_each_instance_s_own_and_stay_over_a_stop(cloud: Cloud) -> None:
    first, second = cloud.run(), cloud.run()
    before = cloud.see(first)["PrivateIpAddress"]
    assert before != cloud.see(second)["PrivateIpAddress"]
    cloud.wait(first, "running")
    cloud.ec2.stop_instances(InstanceIds=[first])
    cloud.wait(first, "stopped")
    assert cloud.see(first)["PrivateIpAddress"] == before
