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
_TOO_SOON = frozenset({"VolumeModificationRateExceeded", "IncorrectModificationState"})


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
        # Larger already: an `up` that was cut before it could note it, or another one.
        if volume["Size"] < step.size_gib:
            _grow(work, volume["VolumeId"], step.size_gib)
    tags.tag_instance(work.cloud, step.instance_id, {tags.DISK: str(step.size_gib)}, "noting the disk's size")


def _grow(work: Work, volume_id: str, size_gib: int) -> None:
    ec2 = work.cloud.ec2
    with translated(f"growing {volume_id}"):
        try:
            ec2.modify_volume(VolumeId=volume_id, Size=size_gib)
        except ClientError as error:
            if code_of(error) in _TOO_SOON:
                raise CloudError(
                    f"{volume_id} was modified within the last six hours, or is just being so",
                    where="disk.size_gib",
                    remedy="AWS takes one modification in six hours: run `gpu-box up` again later, or set "
                    "disk.size_gib back until then.",
                    code=code_of(error),
                ) from None
            raise
        # From `optimizing` on, the machine sees the new size; the optimization itself takes hours.
        for _ in attempts(_GROWING_S, every_s=POLL_FIRST_S):
            found = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
            if not found or found[-1]["ModificationState"] != "modifying":
                return


def delete_volume(step: DeleteVolume, work: Work) -> None:
    delete(work, f"deleting {step.volume_id}", "delete_volume", VolumeId=step.volume_id)
