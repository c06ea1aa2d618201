"""Security groups in use, and ModifyInstanceAttribute."""

from __future__ import annotations

from .cloud import Cloud, wait_until
from .errors import refused


def make_group(cloud: Cloud, name: str = "box") -> str:
    return str(cloud.ec2.create_security_group(GroupName=name, Description=name)["GroupId"])


def test_a_security_group_in_use_cannot_be_deleted_until_the_instance_is_gone(cloud: Cloud) -> None:
    cloud.weather(delays={"shutting-down": 0.4})
    group = make_group(cloud)
    instance = cloud.run(SecurityGroupIds=[group])
    with refused("DependencyViolation", saying=group):
        cloud.ec2.delete_security_group(GroupId=group)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    with refused("DependencyViolation"):
        cloud.ec2.delete_security_group(GroupId=group)
    cloud.wait(instance, "terminated")
    cloud.ec2.delete_security_group(GroupId=group)


def test_a_security_group_that_another_names_cannot_be_deleted(cloud: Cloud) -> None:
    group, other = make_group(cloud), make_group(cloud, "other")
    cloud.ec2.authorize_security_group_ingress(
        GroupId=other, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    )
    with refused("DependencyViolation"):
        cloud.ec2.delete_security_group(GroupId=group)
    cloud.ec2.delete_security_group(GroupId=other)
    cloud.ec2.delete_security_group(GroupId=group)


def test_the_default_group_stays(cloud: Cloud) -> None:
    [default] = cloud.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    with refused("CannotDelete"):
        cloud.ec2.delete_security_group(GroupId=default["GroupId"])


def test_the_shutdown_behaviour_is_set_in_both_forms_and_nothing_else_changes(cloud: Cloud) -> None:
    group = make_group(cloud)
    instance = cloud.run(SecurityGroupIds=[group])

    def behaviour() -> str:
        told = cloud.ec2.describe_instance_attribute(
            InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior"
        )
        return str(told["InstanceInitiatedShutdownBehavior"]["Value"])

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


def test_an_image_is_pending_before_it_is_available_and_launches_with_its_size(cloud: Cloud) -> None:
    mapping = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 60}}
    instance = cloud.wait(cloud.run(BlockDeviceMappings=[mapping]), "running")
    cloud.weather(delays={"image": 0.4})
    tags = [
        {"ResourceType": kind, "Tags": [{"Key": "gpu-box:name", "Value": "box"}]}
        for kind in ("image", "snapshot")
    ]
    image = cloud.ec2.create_image(InstanceId=instance, Name="baked", TagSpecifications=tags)["ImageId"]

    def see() -> dict[str, object]:
        return dict(cloud.ec2.describe_images(ImageIds=[image])["Images"][0])

    assert see()["State"] == "pending"
    with refused("InvalidAMIID.Unavailable"):
        cloud.run(ImageId=image)
    wait_until(lambda: see()["State"] == "available")
    [snapshot] = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert snapshot["VolumeSize"] == 60
    assert snapshot["Tags"] == [{"Key": "gpu-box:name", "Value": "box"}]
    cloud.run(ImageId=image)
    assert sorted(v["Size"] for v in cloud.ec2.describe_volumes()["Volumes"]) == [60, 60]


def test_an_image_name_is_used_once(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    cloud.ec2.create_image(InstanceId=instance, Name="baked")
    with refused("InvalidAMIName.Duplicate"):
        cloud.ec2.create_image(InstanceId=instance, Name="baked")
