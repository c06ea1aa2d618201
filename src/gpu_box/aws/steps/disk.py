"""Carry out the steps that grow or delete a volume."""

from __future__ import annotations

from botocore.exceptions import ClientError

from gpu_box.aws import tags
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.steps.work import POLL_FIRST_S, Work, delete
from gpu_box.errors import CloudError
from gpu_box.plan.steps import DeleteVolume, GrowDisk
from gpu_box.polling import attempts

_GROWING_S = 60.0  # a modification takes effect within seconds
# ModifyVolume in the EC2 API Reference: four times in 24 hours, each when the one before has completed.
_TOO_SOON = {
    "IncorrectModificationState": (
        "is still being optimized after its last change",
        "Run `gpu-box up` again when AWS has completed that: minutes as a rule, hours for a large disk",
    ),
    "VolumeModificationRateExceeded": (
        "has been changed as often as AWS allows, four times in 24 hours",
        "Run `gpu-box up` again a day after the first change",
    ),
}


def grow_disk(step: GrowDisk, work: Work) -> None:
    ec2 = work.cloud.ec2
    with translated("reading the disk"):
        found = ec2.describe_volumes(
            Filters=[
                {"Name": "attachment.instance-id", "Values": [step.instance_id]},
                *tags.of_box(work.cloud.config),
            ]
        )["Volumes"]
    for volume in found:
        # Already larger if an interrupted `up`, or another one, did not record it.
        if volume["Size"] < step.size_gib:
            _grow(work, volume["VolumeId"], step.size_gib)
    tags.tag_instance(
        work.cloud, step.instance_id, {tags.DISK: str(step.size_gib)}, "recording the disk's size"
    )


def _grow(work: Work, volume_id: str, size_gib: int) -> None:
    ec2 = work.cloud.ec2
    with translated(f"growing {volume_id}"):
        try:
            ec2.modify_volume(VolumeId=volume_id, Size=size_gib)
        except ClientError as error:
            if code_of(error) in _TOO_SOON:
                what, remedy = _TOO_SOON[code_of(error)]
                raise CloudError(
                    f"{volume_id} {what}",
                    where="disk.size_gib",
                    remedy=f"{remedy}, or set disk.size_gib back until then.",
                    code=code_of(error),
                ) from None
            raise
        # In `optimizing` the machine already sees the new size; that state lasts for hours.
        for _ in attempts(_GROWING_S, every_s=POLL_FIRST_S):
            found = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
            if not found or found[-1]["ModificationState"] != "modifying":
                return


def delete_volume(step: DeleteVolume, work: Work) -> None:
    delete(work, f"deleting {step.volume_id}", "delete_volume", VolumeId=step.volume_id)
