"""AMIs: this cloud's public ones, and those made from an instance."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami
from moto.ec2.utils import random_ami_id

from local_aws.ec2.catalogue import PublicImage, public_images
from local_aws.ec2.extra import now
from local_aws.faults import weather

_ROOT_DEVICE = "/dev/sda1"
# "For public AMIs, the deprecation date is two years from the creation date" (EC2 User Guide).
_PUBLIC_FOR = timedelta(days=730)


class Image(Ami):  # type: ignore[misc]
    """moto's AMI with a size, and with DeleteOnTermination on its root, as Ubuntu's images have it."""

    size_gib = 8
    volume_type = "gp3"
    due: datetime | None = None  # when it becomes available, aware UTC
    made_of: str | None = None  # the instance
    deprecation_time: str | None = None  # as EC2 writes it: "2028-11-12T00:00:00.000Z"
    copied: bool = False  # whether the instance's disk has been copied

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return [
            {
                "DeviceName": self.root_device_name,
                "Ebs": {
                    "SnapshotId": self.ebs_snapshot.id,
                    "VolumeSize": self.size_gib,
                    "DeleteOnTermination": True,
                    "VolumeType": self.volume_type,
                },
            }
        ]


def load_public(backend: Any) -> None:
    for entry in public_images():
        image = Image(
            backend,
            entry.id(backend.region_name),
            name=entry.name,
            description=entry.description,
            owner_id=entry.owner_id,
            owner_alias="amazon",
            public=True,
            virtualization_type="hvm",
            architecture=entry.architecture,
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name=_ROOT_DEVICE,
            creation_date=_made_on(entry),
            region_name=f"{backend.region_name}a",
        )
        image.size_gib, image.volume_type = entry.size_gib, entry.volume_type
        image.deprecation_time = f"{_made_on(entry) + _PUBLIC_FOR:%Y-%m-%dT%H:%M:%S.000Z}"
        image.ebs_snapshot.volume.size = entry.size_gib
        backend.amis[image.id] = image


def create(
    backend: Any, instance_id: str, name: str, description: str, tags: dict[str, dict[str, str]]
) -> Image:
    """Create an image of the instance's root volume; it is `pending` for a while."""
    instance = backend.get_instance(instance_id)
    if instance.state not in ("running", "stopped", "stopping"):
        raise EC2ClientError("IncorrectState", f"The instance '{instance_id}' is not in a valid state.")
    if any(image.name == name and image.owner_id == backend.account_id for image in backend.amis.values()):
        raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI")
    image = Image(
        backend, random_ami_id(), instance=instance, name=name, description=description,
        state="pending", root_device_type="ebs", root_device_name=instance.root_device_name,
        region_name=instance.placement.zone,
    )  # fmt: skip
    root = instance.block_device_mapping.get(instance.root_device_name)
    if root is not None:
        volume = backend.get_volume(root.volume_id)
        image.size_gib, image.volume_type = volume.size, volume.volume_type
        image.ebs_snapshot.volume.size = volume.size
    image.made_of = instance_id
    image.due = now() + weather().delay("image")
    image.add_tags(tags.get("image", {}))
    image.ebs_snapshot.add_tags(tags.get("snapshot", {}))
    backend.amis[image.id] = image
    return image


def to_copy(backend: Any) -> list[Image]:
    """The pending images whose instance's disk still has to be copied."""
    return [image for image in _pending(backend) if not image.copied]


def settle(backend: Any) -> bool:
    ready = [i for i in _pending(backend) if i.copied and i.due is not None and i.due <= now()]
    for image in ready:
        image.state, image.due = "available", None
    return bool(ready)


def next_due(backend: Any) -> Iterable[datetime]:
    return (image.due for image in _pending(backend) if image.due is not None)


def _pending(backend: Any) -> list[Image]:
    return [i for i in backend.amis.values() if isinstance(i, Image) and i.due is not None]


def _made_on(entry: PublicImage) -> datetime:
    return datetime.strptime(entry.name[-8:], "%Y%m%d").replace(tzinfo=UTC).replace(tzinfo=None)
