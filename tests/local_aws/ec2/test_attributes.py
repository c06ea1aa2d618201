"""ModifyInstanceAttribute changes only what the request names."""

from __future__ import annotations

from testbed.cloud import Cloud

from ..errors import refused
from ..groups import make_group


def test_the_shutdown_behaviour_is_set_in_both_forms_and_nothing_else_changes(cloud: Cloud) -> None:
    group = make_group(cloud)
    instance = cloud.run(SecurityGroupIds=[group])

    def behaviour() -> str:
        answer = cloud.ec2.describe_instance_attribute(
            InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior"
        )
        return str(answer["InstanceInitiatedShutdownBehavior"]["Value"])

    assert behaviour() == "stop"
    cloud.ec2.modify_instance_attribute(
        InstanceId=instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    assert behaviour() == "terminate"
    cloud.ec2.modify_instance_attribute(
        InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior", Value="stop"
    )
    assert behaviour() == "stop"
    assert [g["GroupId"] for g in cloud.see(instance)["SecurityGroups"]] == [group]


def test_a_type_is_changed_only_while_stopped(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    with refused("IncorrectInstanceState", saying="'stopped' state"):
        cloud.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "g5.xlarge"})
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    with refused("InvalidInstanceAttributeValue"):
        cloud.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "g5.huge"})
    cloud.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "g5.xlarge"})
    assert cloud.see(instance)["InstanceType"] == "g5.xlarge"


def test_a_type_that_aws_does_not_change_into(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(InstanceType="g5.4xlarge"), "running")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    # https://github.com/pulumi/pulumi/issues/16758
    words = "Modifying the instance type from g5.4xlarge to p4d.24xlarge is not allowed."
    with refused("InvalidInstanceAttributeValue", saying=words):
        cloud.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "p4d.24xlarge"})


def test_a_protected_instance_is_not_terminated(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    cloud.ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": True})
    with refused("OperationNotPermitted"):
        cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.ec2.modify_instance_attribute(InstanceId=instance, Attribute="disableApiTermination", Value="false")
    cloud.ec2.terminate_instances(InstanceIds=[instance])


def test_groups_are_replaced(cloud: Cloud) -> None:
    instance, group = cloud.run(), make_group(cloud)
    cloud.ec2.modify_instance_attribute(InstanceId=instance, Groups=[group])
    assert [g["GroupId"] for g in cloud.see(instance)["SecurityGroups"]] == [group]
