"""The volumes of a new instance: its image's, changed by the request's block device mappings."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import VolumeModification

from local_aws.faults import weather
from local_aws.parameters import validation

_ROOT_DEFAULTS = {"DeleteOnTermination": True, "VolumeType": "gp3"}
# "st1 and sc1 volumes can't be used as boot volumes" (EBS User Guide, "Amazon EBS volume types").
_NEVER_ROOT = ("st1", "sc1")
_GP3_THROUGHPUT_MIB = 125
_IOPS = 3_000
_WITH_IOPS = ("gp3", "io1", "io2")
_MODIFICATIONS, _WITHIN = 4, timedelta(hours=24)


def plan(image: Any, mappings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The volumes to create, in request form. Raises AWS's error for an invalid mapping."""
    devices: dict[str, dict[str, Any]] = {}
    for mapping in image.block_device_mappings if image is not None else ():
        devices[mapping["DeviceName"]] = {**_ROOT_DEFAULTS, **mapping["Ebs"]}
    for mapping in mappings:
        name = mapping.get("DeviceName", "")
        if "NoDevice" in mapping and mapping["NoDevice"] == "":
            devices.pop(name, None)
        elif "VirtualName" not in mapping:
            given = {k: v for k, v in mapping.get("Ebs", {}).items() if v is not None}
            _check_size(name, given, devices.get(name, {}))
            # An added volume outlives its instance only if the request says so: the API documents True as
            # RunInstances' default for volumes that it creates.
            devices[name] = {
                "DeleteOnTermination": True,
                "VolumeType": "gp2",
                **devices.get(name, {}),
                **given,
            }
    for ebs in devices.values():
        _check(ebs)
    root = devices.get(image.root_device_name, {}) if image is not None else {}
    if root.get("VolumeType") in _NEVER_ROOT:
        # AWS's words, though no iops were asked for: aws/aws-sdk#542.
        raise EC2ClientError(
            "InvalidParameterCombination",
            f"The parameter iops is not supported for {root['VolumeType']} volumes.",
        )
    return [{"DeviceName": name, "Ebs": ebs} for name, ebs in devices.items()]


def attach(backend: Any, instance: Any, devices: list[dict[str, Any]], tags: dict[str, str]) -> None:
    for device in copy.deepcopy(devices):
        ebs = device["Ebs"]
        volume = backend.create_volume(
            size=int(ebs["VolumeSize"]),
            zone_name=instance.placement.zone,
            snapshot_id=ebs.get("SnapshotId"),
            encrypted=ebs.get("Encrypted") or False,
            kms_key_id=ebs.get("KmsKeyId"),
            volume_type=ebs["VolumeType"],
            iops=ebs.get("Iops"),
            throughput=ebs.get("Throughput") or (_GP3_THROUGHPUT_MIB if ebs["VolumeType"] == "gp3" else None),
        )
        backend.attach_volume(volume.id, instance.id, device["DeviceName"], ebs["DeleteOnTermination"])
        volume.volume_initialization_rate = ebs.get("VolumeInitializationRate")
        volume.add_tags(tags)


class Modification(VolumeModification):  # type: ignore[misc]
    """modifying -> optimizing -> completed (EBS User Guide, "Monitor the progress of volume modifications").

    The weather's delays set the times.
    """

    @property
    def modification_state(self) -> str:
        passed = utcnow() - self.start_time
        if passed < weather().delay("modifying"):
            return "modifying"
        return "optimizing" if passed < weather().delay("optimizing") else "completed"

    @property
    def progress(self) -> int:
        return 100 if self.modification_state == "completed" else 0


def check_modify(
    volume: Any, size: int | None, kind: str | None, iops: int | None, throughput: int | None
) -> None:
    """Raise AWS's error for a smaller size, for a volume that its type does not allow, before the last
    modification has completed, and for a fifth one in 24 hours (ModifyVolume in the EC2 API Reference).
    """
    if size is not None and int(size) < int(volume.size):
        raise EC2ClientError(
            "InvalidParameterValue", f"New size cannot be smaller than existing size: {volume.size}GiB"
        )
    _check(_modified(volume, size, kind, iops, throughput))
    if volume.modifications and (state := volume.modifications[-1].modification_state) != "completed":
        # https://github.com/sodafoundation/strato/issues/1120
        raise EC2ClientError(
            "IncorrectModificationState",
            f"Volume {volume.id} cannot be modified in modification state {state.upper()}",
        )
    if sum(utcnow() - one.start_time < _WITHIN for one in volume.modifications) >= _MODIFICATIONS:
        # The recorded words, of before January 2026, went on with "Wait at least 6 hours".
        raise EC2ClientError(
            "VolumeModificationRateExceeded", "You've reached the maximum modification rate per volume limit."
        )


def _modified(
    volume: Any, size: int | None, kind: str | None, iops: int | None, throughput: int | None
) -> dict[str, Any]:
    """What the volume would be. Iops and throughput are kept with the type, else they are its defaults."""
    ebs: dict[str, Any] = {"VolumeType": kind or volume.volume_type, "VolumeSize": size or volume.size}
    same = ebs["VolumeType"] == volume.volume_type
    if ebs["VolumeType"] in _WITH_IOPS:
        ebs["Iops"] = (volume.iops if same else None) or _IOPS
    if ebs["VolumeType"] == "gp3":
        ebs["Throughput"] = (volume.throughput if same else None) or _GP3_THROUGHPUT_MIB
    return ebs | {k: v for k, v in (("Iops", iops), ("Throughput", throughput)) if v is not None}


def _check_size(device: str, given: dict[str, Any], from_image: dict[str, Any]) -> None:
    least = from_image.get("VolumeSize")
    size = given.get("VolumeSize")
    if size is None and least is None and not given.get("SnapshotId"):
        raise EC2ClientError(
            "InvalidBlockDeviceMapping", f"Either snapshot ID or volume size must be provided for: {device}"
        )
    if size is not None and least is not None and int(size) < int(least):
        raise EC2ClientError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than  snapshot '{from_image.get('SnapshotId')}', "
            f"expect size >= {least}GB",
        )


def _check(ebs: dict[str, Any]) -> None:
    if why := validation.refusal_of_volume(ebs):
        raise EC2ClientError(*why)
