"""Carry out the steps that create, await and remove an image and its snapshots."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from botocore.exceptions import ClientError

from gpu_box.aws import tags
from gpu_box.aws.errors import translated
from gpu_box.aws.observe import parse_image, read_images, read_snapshots
from gpu_box.aws.steps.work import POLL_FIRST_S, Raced, Work, delete, race_if
from gpu_box.errors import CloudError
from gpu_box.plan.steps import CreateImage, DeleteSnapshot, DeregisterImage, WaitForImage
from gpu_box.polling import attempts
from gpu_box.units import format_duration

_IMAGE_S, _IMAGE_POLL_S = 4 * 3600.0, 15.0  # a first snapshot of 100 GiB takes about 15 minutes


def create_image(step: CreateImage, work: Work) -> None:
    config = work.cloud.config
    own = {tags.IMAGE: step.kind, tags.IMAGE_OF: step.of}
    # One name per content: a second request is refused, and finds the first one's image.
    digest = hashlib.sha256(f"{step.kind} {step.of}".encode()).hexdigest()[:12]
    with translated(f"creating an image of {step.instance_id}"):
        try:
            work.cloud.ec2.create_image(
                InstanceId=step.instance_id,
                Name=f"{tags.resource_name(config)}-{digest}",
                Description=f"gpu-box {config.name}: its disk",
                TagSpecifications=[
                    tags.tag_specification("image", config, **own),
                    tags.tag_specification("snapshot", config),
                ],
            )
        except ClientError as error:
            race_if(error, "InvalidAMIName.Duplicate", "the image is already being made")


def wait_for_image(step: WaitForImage, work: Work) -> str:
    for waited_s in attempts(_IMAGE_S, every_s=POLL_FIRST_S, at_most_s=_IMAGE_POLL_S):
        found = next((i for i in read_images(work.cloud) if i["ImageId"] == step.image_id), None)
        image = parse_image(found) if found else None
        if image is None or image.state != "pending":
            return f"image {step.image_id}: {image.state if image else 'gone'}"
        part = max((snapshot.progress for snapshot in read_snapshots(work.cloud)), default="", key=_percent)
        waited = format_duration(timedelta(seconds=waited_s))
        work.report.update(step.title, f"image {step.image_id}: {part or 'begun'}, {waited}")
    raise CloudError(
        f"image {step.image_id} is not finished after {_IMAGE_S / 3600:.0f} hours",
        remedy="Nothing is lost: run the command again to keep waiting.",
    )


def _percent(progress: str) -> int:
    digits = progress.removesuffix("%")
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def deregister_image(step: DeregisterImage, work: Work) -> None:
    delete(work, f"removing {step.image_id}", "deregister_image", ImageId=step.image_id)


def delete_snapshot(step: DeleteSnapshot, work: Work) -> None:
    try:
        delete(work, f"deleting {step.snapshot_id}", "delete_snapshot", SnapshotId=step.snapshot_id)
    except CloudError as error:
        if error.code == "InvalidSnapshot.InUse":
            raise Raced(f"an image still uses {step.snapshot_id}") from error
        raise
