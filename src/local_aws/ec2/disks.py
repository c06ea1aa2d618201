"""The volumes of a new instance: those of its image, changed by the block device mappings of the request."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError

_ROOT_DEFAULTS = {"DeleteOnTermination": True, "VolumeType": "gp3"}
_GP3_IOPS = (3000, 16000)
_GP3_THROUGHPUT_MIB = (125, 1000)
_BETWEEN_MODIFICATIONS = timedelta(hours=6)


def plan(image: Any, mappings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The devices to make, in request form. Raises AWS's error for what cannot be."""
    devices: dict[str, dict[str, Any]] = {}
    for mapping in image.block_device_mappings if image is not None else ():
        devices[mapping["DeviceName"]] = {**_ROOT_DEFAULTS, **mapping["Ebs"]}
    for mapping in mappings:
        name = mapping.get("DeviceName", "")
        if "NoDevice" in mapping and mapping["NoDevice"] == "":
            devices.pop(name, None)
        elif "VirtualName" not in mapping:
            given = {k: v for k, v in mapping.get("Ebs", {}).items() if v is not None}
            _check_size(given, devices.get(name, {}))
            # An added volume outlives its instance only if the request says so: RunInstances' default is True
            # in the API's own documentation for volumes that it creates.
            devices[name] = {
                "DeleteOnTermination": True,
                "VolumeType": "gp2",
                **devices.get(name, {}),
                **given,
            }
    for ebs in devices.values():
        _check_performance(ebs)
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
            throughput=ebs.get("Throughput")
            or (_GP3_THROUGHPUT_MIB[0] if ebs["VolumeType"] == "gp3" else None),
        )
        backend.attach_volume(volume.id, instance.id, device["DeviceName"], ebs["DeleteOnTermination"])
        volume.add_tags(tags)


def check_modify(volume: Any, size: int | None) -> None:
    """Raise for a smaller size, and for a second modification within six hours (EBS User Guide)."""
    if size is not None and int(size) < int(volume.size):
        raise EC2ClientError(
            "InvalidParameterValue", f"New size cannot be smaller than existing size: {volume.size}GiB"
        )
    last = max((one.start_time for one in volume.modifications), default=None)
    if last and utcnow() - last < _BETWEEN_MODIFICATIONS:
        raise EC2ClientError(
            "VolumeModificationRateExceeded",
            "You've reached the maximum modification rate per volume limit. Wait at least 6 hours between "
            "modifications per EBS volume.",
        )


def _check_size(given: dict[str, Any], from_image: dict[str, Any]) -> None:
    least = from_image.get("VolumeSize")
    size = given.get("VolumeSize")
    if size is None and least is None and not given.get("SnapshotId"):
        raise EC2ClientError("MissingParameter", "The request must contain the parameter size or snapshotId")
    if size is not None and least is not None and int(size) < int(least):
        raise EC2ClientError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{from_image.get('SnapshotId')}', "
            f"expect size >= {least}GB",
        )


def _check_performance(ebs: dict[str, Any]) -> None:
    kind, iops, throughput = ebs["VolumeType"], ebs.get("Iops"), ebs.get("Throughput")
    if kind == "gp3":
        _check_range("iops", iops, _GP3_IOPS)
        _check_range("throughput", throughput, _GP3_THROUGHPUT_MIB)
    elif throughput is not None:
        raise EC2ClientError(
            "InvalidParameterCombination", f"The parameter Throughput is not supported for {kind} volumes."
        )
    elif kind in ("io1", "io2") and iops is None:
        raise EC2ClientError("MissingParameter", f"The parameter iops must be specified for {kind} volumes.")
    elif kind not in ("io1", "io2") and iops is not None:
        raise EC2ClientError(
            "InvalidParameterCombination", f"The parameter iops is not supported for {kind} volumes."
        )


def _check_range(name: str, value: Any, limits: tuple[int, int]) -> None:
    if value is not None and not limits[0] <= int(value) <= limits[1]:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Volume {name} of {value} is out of range: {limits[0]} to {limits[1]} for gp3.",
        )
