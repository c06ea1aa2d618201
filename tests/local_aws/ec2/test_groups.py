"""Security groups in use."""

from __future__ import annotations

from testbed.cloud import Cloud

from ..errors import refused
from ..groups import make_group


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
