"""Images made of an instance."""

from __future__ import annotations

from .cloud import Cloud, wait_until
from .errors import refused


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
