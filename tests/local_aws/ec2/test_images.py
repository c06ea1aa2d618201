"""Images made from an instance."""

from __future__ import annotations

from pathlib import Path

from testbed.cloud import Cloud, wait_until

from local_aws.machines.baked import BakedDisks

from ..errors import refused


def test_an_image_is_pending_before_it_is_available_and_launches_with_its_size(cloud: Cloud) -> None:
    mapping = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 60}}
    instance = cloud.wait(cloud.run(BlockDeviceMappings=[mapping]), "running")
    cloud.weather(delays={"image": 2.0})
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


def test_an_image_shares_only_what_the_disk_shares_already(tmp_path: Path) -> None:
    disk, elsewhere = tmp_path / "disk", tmp_path / "cache"
    (disk / "bin").mkdir(parents=True)
    own, other = disk / "own", disk / "bin" / "other name"
    own.write_text("as it was")
    own.chmod(0o4750)
    other.hardlink_to(own)
    elsewhere.write_text("a wheel's")
    (disk / "bin" / "wheel").hardlink_to(elsewhere)
    (disk / "link").symlink_to("own")
    kept = BakedDisks(tmp_path / "images")
    kept.keep("ami-1", disk)
    own.write_text("written later")
    kept.put("ami-1", tmp_path / "new")
    new = tmp_path / "new"
    assert (new / "own").read_text() == "as it was"
    assert (new / "own").samefile(new / "bin" / "other name")
    assert (new / "own").stat().st_mode & 0o7777 == 0o4750
    assert not (new / "own").samefile(tmp_path / "images" / "ami-1" / "own")
    assert (new / "link").readlink() == Path("own")
    assert (new / "bin" / "wheel").samefile(elsewhere)
