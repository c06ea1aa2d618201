"""RunInstances as AWS does it."""

from __future__ import annotations

import base64

import pytest
from testbed.cloud import Cloud, KeyFile

from ..errors import refused


def test_a_repeated_client_token_makes_no_second_instance(cloud: Cloud) -> None:
    first = cloud.run(ClientToken="once")
    assert cloud.run(ClientToken="once") == first
    assert len(cloud.ec2.describe_instances()["Reservations"]) == 1


def test_a_repeated_client_token_with_other_parameters_is_refused(cloud: Cloud) -> None:
    cloud.run(ClientToken="once")
    with refused("IdempotentParameterMismatch"):
        cloud.run(ClientToken="once", InstanceType="g5.xlarge")


def test_a_client_token_is_good_for_one_instance_a_zone(cloud: Cloud) -> None:
    a = cloud.run(ClientToken="once", Placement={"AvailabilityZone": "us-east-1a"})
    b = cloud.run(ClientToken="once", Placement={"AvailabilityZone": "us-east-1b"})
    assert a != b


def test_the_client_token_of_a_terminated_instance_is_refused_for_a_day(cloud: Cloud) -> None:
    first = cloud.run(ClientToken="once")
    cloud.ec2.terminate_instances(InstanceIds=[first])
    cloud.wait(first, "terminated")
    with refused("IdempotentInstanceTerminated"):
        cloud.run(ClientToken="once")
    with refused("IdempotentParameterMismatch"):
        cloud.run(ClientToken="once", InstanceType="g5.xlarge")
    cloud.weather(terminated_shown_s=0)  # no longer shown, but still known
    with refused("IdempotentInstanceTerminated"):
        cloud.run(ClientToken="once")
    cloud.weather(delays={"token-kept": 0})
    assert cloud.run(ClientToken="once") != first


def test_a_refused_launch_does_not_use_up_its_client_token(cloud: Cloud) -> None:
    cloud.weather(capacity={"g4dn.xlarge": {"*": 0}})
    with refused("InsufficientInstanceCapacity", status=500):
        cloud.run(ClientToken="once")
    cloud.weather(capacity={})
    assert cloud.state(cloud.run(ClientToken="once")) in ("pending", "running")


def test_a_dry_run_launches_nothing(cloud: Cloud) -> None:
    with refused("DryRunOperation", status=412):
        cloud.run(DryRun=True)
    assert cloud.ec2.describe_instances()["Reservations"] == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "image"}, "InvalidAMIID.Malformed"),
        ({"KeyName": "missing"}, "InvalidKeyPair.NotFound"),
        ({"InstanceType": "g4dn.huge"}, "InvalidParameterValue"),
        ({"InstanceType": "g5g.xlarge"}, "InvalidParameterValue"),  # arm64, the image is not
        ({"SecurityGroupIds": ["sg-00000000000000000"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": "subnet-00000000000000000"}, "InvalidSubnetID.NotFound"),
        ({"IamInstanceProfile": {"Name": "missing"}}, "InvalidParameterValue"),
    ],
)
def test_what_does_not_exist_is_refused(cloud: Cloud, wrong: dict[str, object], code: str) -> None:
    with refused(code):
        cloud.run(**wrong)
    assert cloud.ec2.describe_instances()["Reservations"] == []


def test_a_type_that_the_zone_does_not_offer_is_unsupported(cloud: Cloud) -> None:
    offered = cloud.ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["p4d.24xlarge"]}]
    )["InstanceTypeOfferings"]
    every = {z["ZoneName"] for z in cloud.ec2.describe_availability_zones()["AvailabilityZones"]}
    [without, *_] = sorted(every - {o["Location"] for o in offered})
    with refused("Unsupported", saying=without):
        cloud.run(InstanceType="p4d.24xlarge", Placement={"AvailabilityZone": without})


def test_a_new_instance_profile_is_unknown_to_ec2_for_a_while(cloud: Cloud) -> None:
    cloud.client("iam").create_instance_profile(InstanceProfileName="new")
    cloud.weather(delays={"iam": 60})
    with refused("InvalidParameterValue", saying="Invalid IAM Instance Profile name"):
        cloud.run(IamInstanceProfile={"Name": "new"})
    cloud.weather(delays={"iam": 0})
    cloud.run(IamInstanceProfile={"Name": "new"})


def test_without_a_security_group_the_default_one_is_given(cloud: Cloud) -> None:
    assert [g["GroupName"] for g in cloud.see(cloud.run())["SecurityGroups"]] == ["default"]


def test_groups_given_with_the_network_interface_are_the_instances(cloud: Cloud) -> None:
    group = cloud.ec2.create_security_group(GroupName="box", Description="box")["GroupId"]
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    interface = {
        "DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "AssociatePublicIpAddress": True
    }  # fmt: skip
    instance = cloud.see(cloud.run(NetworkInterfaces=[interface]))
    assert [g["GroupId"] for g in instance["SecurityGroups"]] == [group]
    assert instance["SubnetId"] == subnet
    assert instance["PublicIpAddress"].startswith("127.77.")


def test_each_instance_has_an_address_of_its_own(cloud: Cloud) -> None:
    assert len({cloud.see(cloud.run())["PublicIpAddress"] for _ in range(5)}) == 5


def test_the_root_disk_is_as_asked_and_goes_with_the_instance(cloud: Cloud) -> None:
    ebs = {"VolumeSize": 120, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250}
    mapping = {"DeviceName": "/dev/sda1", "Ebs": ebs}
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "gpu-box:name", "Value": "box"}]}]
    instance = cloud.run(BlockDeviceMappings=[mapping], TagSpecifications=tags)
    [device] = cloud.see(instance)["BlockDeviceMappings"]
    assert device["Ebs"]["DeleteOnTermination"] is True
    [volume] = cloud.ec2.describe_volumes()["Volumes"]
    assert {k: volume[k] for k in ("Size", "VolumeType", "Iops", "Throughput")} == {
        "Size": 120, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250
    }  # fmt: skip
    assert volume["Tags"] == [{"Key": "gpu-box:name", "Value": "box"}]
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert cloud.ec2.describe_volumes()["Volumes"] == []


def test_a_disk_from_a_snapshot_is_filled_at_the_rate_asked_for(cloud: Cloud) -> None:
    cloud.run(BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeInitializationRate": 300}}])
    cloud.run()
    asked = [volume.get("VolumeInitializationRate") for volume in cloud.ec2.describe_volumes()["Volumes"]]
    assert sorted(asked, key=bool) == [None, 300]


@pytest.mark.parametrize(
    ("device", "rate", "code"),
    [
        ("/dev/sda1", 99, "InvalidParameterValue"),
        ("/dev/sda1", 301, "InvalidParameterValue"),
        ("/dev/sdf", 100, "InvalidParameterCombination"),  # an empty volume
    ],
)
def test_a_rate_that_ebs_does_not_have_is_refused(cloud: Cloud, device: str, rate: int, code: str) -> None:
    """Valid range: 100 - 300 MiB/s, for volumes created from snapshots (EC2 API reference)."""
    ebs = {"VolumeSize": 40, "VolumeInitializationRate": rate}
    with refused(code):
        cloud.run(BlockDeviceMappings=[{"DeviceName": device, "Ebs": ebs}])
    assert cloud.ec2.describe_volumes()["Volumes"] == []


def test_an_encrypted_disk_has_the_key_of_the_region_s_account(cloud: Cloud) -> None:
    mapping = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}
    cloud.run(BlockDeviceMappings=[mapping])
    cloud.run(BlockDeviceMappings=[mapping])
    first, second = cloud.ec2.describe_volumes()["Volumes"]
    assert first["Encrypted"]
    assert first["KmsKeyId"] == second["KmsKeyId"]
    assert first["KmsKeyId"].startswith("arn:aws:kms:us-east-1:")


def test_an_unwritten_console_is_empty(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    assert cloud.ec2.get_console_output(InstanceId=instance).get("Output", "") == ""


def test_an_added_disk_does_not_replace_the_root(cloud: Cloud) -> None:
    data = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 50, "DeleteOnTermination": False}}
    instance = cloud.run(BlockDeviceMappings=[data])
    assert {d["DeviceName"] for d in cloud.see(instance)["BlockDeviceMappings"]} == {"/dev/sda1", "/dev/sdf"}
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert [v["Size"] for v in cloud.ec2.describe_volumes()["Volumes"]] == [50]


def test_a_root_disk_smaller_than_the_image_is_refused(cloud: Cloud) -> None:
    mapping = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 4}}
    with refused("InvalidBlockDeviceMapping", saying="expect size >= 8GB"):
        cloud.run(BlockDeviceMappings=[mapping])


def test_the_network_interface_goes_with_the_instance(cloud: Cloud) -> None:
    instance = cloud.run()
    assert len(cloud.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_user_data_reads_back_as_given(cloud: Cloud) -> None:
    instance = cloud.run(UserData="#cloud-config\n{}\n")
    answer = cloud.ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
    assert base64.b64decode(answer["UserData"]["Value"]) == b"#cloud-config\n{}\n"


def test_instances_are_found_by_client_token_and_lifecycle(cloud: Cloud) -> None:
    plain = cloud.run(ClientToken="plain")
    spot = cloud.run(ClientToken="spot", InstanceMarketOptions={"MarketType": "spot"})

    def found(name: str, value: str) -> list[str]:
        answer = cloud.ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])
        return [i["InstanceId"] for r in answer["Reservations"] for i in r["Instances"]]

    assert found("client-token", "plain") == [plain]
    assert found("instance-lifecycle", "spot") == [spot]


def test_the_public_parameters_name_images_of_the_region(cloud: Cloud, key: KeyFile) -> None:
    base = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
    ids = set()
    for region in ("us-east-1", "eu-west-1"):
        image_id = cloud.client("ssm", region).get_parameter(Name=base)["Parameter"]["Value"]
        [image] = cloud.client("ec2", region).describe_images(ImageIds=[image_id])["Images"]
        assert image["OwnerId"] == "898082745236"
        assert image["Name"].startswith("Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)")
        ids.add(image_id)
    assert len(ids) == 2
