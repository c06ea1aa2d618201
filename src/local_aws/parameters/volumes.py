"""Volumes: their sizes and speeds, by type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_aws.parameters import values
from local_aws.parameters.row import COMBINATION, HUB, OWN_WORDS, VALUE, VOLUME, Row


def _within(parameter: str, *, least: bool) -> Callable[[Any], bool]:
    """Whether a volume's size or operations are within one limit of its type."""

    def takes(ebs: Any) -> bool:
        limits = values.ranges(parameter).get(ebs["VolumeType"])
        asked = ebs.get(parameter)
        if limits is None or asked is None:
            return True
        return bool(int(asked) >= limits[0] if least else int(asked) <= limits[1])

    return takes


def _limit(parameter: str, ebs: Any, *, least: bool) -> int:
    return values.ranges(parameter)[ebs["VolumeType"]][0 if least else 1]


# EBS User Guide, "Amazon EBS volume types": operations a second per GiB, and a gp3's at any size.
_IOPS_PER_GIB = {"gp3": 500, "io1": 50, "io2": 1_000}
_GP3_IOPS = 3_000
_MIB_PER_IOPS = 0.25


def _iops_ratio(ebs: Any) -> float:
    return int(ebs.get("Iops") or 0) / int(ebs.get("VolumeSize") or 1)


def _throughput_ratio(ebs: Any) -> float:
    return int(ebs.get("Throughput") or 0) / int(ebs.get("Iops") or _GP3_IOPS)


def _has_iops_for_its_size(ebs: Any) -> bool:
    if ebs["VolumeType"] == "gp3" and int(ebs.get("Iops") or 0) <= _GP3_IOPS:
        return True
    return _iops_ratio(ebs) <= _IOPS_PER_GIB.get(ebs["VolumeType"], float("inf"))


_RATE = "VolumeInitializationRate"
_EBS = "RunInstances:BlockDeviceMappings.N.Ebs."
VOLUMES = (
    Row(where=_EBS + "VolumeType", takes=lambda kind: kind in values.ranges("VolumeSize"),
        code="UnknownVolumeType", says="Unsupported volume type '{value}' for volume creation.",
        source=HUB + "mulgadc/spinifex/pull/451 (the code)"),
    Row(where=VOLUME, takes=lambda ebs: not ebs.get("Throughput") or ebs["VolumeType"] == "gp3",
        code=COMBINATION, says="throughput can only be specified for volumeType gp3.",
        covers=_EBS + "Throughput", doc="This parameter is valid only for gp3 volumes.",
        source="recorded: RunInstances"),
    # A wrong key is found out after the launch: "AWS authenticates the KMS key asynchronously".
    Row(where=VOLUME, code="InvalidParameterDependency", covers=_EBS + "KmsKeyId",
        takes=lambda ebs: not ebs.get("KmsKeyId") or str(ebs.get("Encrypted")).lower() == "true",
        says="The parameter KmsKeyId requires the parameter Encrypted to be set.",
        source=HUB + "getmoto/moto/blob/master/moto/ec2/exceptions.py"),
    Row(where=VOLUME, takes=lambda ebs: ebs.get("Iops") or ebs["VolumeType"] not in ("io1", "io2"),
        code=COMBINATION, covers=_EBS + "Iops", doc="This parameter is required for io1 and io2 volumes.",
        says=lambda ebs: f"The parameter iops must be specified for {ebs['VolumeType']} volumes.",
        source=HUB + "velero-io/velero-plugin-for-aws/pull/119"),
    Row(where=VOLUME, takes=lambda ebs: not ebs.get("Iops") or ebs["VolumeType"] in _IOPS_PER_GIB,
        code=COMBINATION, covers=_EBS + "Iops",
        says=lambda ebs: f"The parameter iops is not supported for {ebs['VolumeType']} volumes.",
        source=HUB + "boto/boto3/issues/2474"),
    Row(where=VOLUME, takes=_within("VolumeSize", least=False), code=VALUE,
        says=lambda ebs: f"Volume of {ebs['VolumeSize']}GiB is too large for volume type "
        f"{ebs['VolumeType']}; maximum is {_limit('VolumeSize', ebs, least=False)}GiB",
        covers=f"({_EBS}VolumeSize|ModifyVolume:Size)", doc="gp2: 1 - 16,384 GiB   gp3: 1 - 65,536 GiB",
        source=HUB + "fog/fog-aws/issues/186"),
    Row(where=VOLUME, takes=_within("VolumeSize", least=True), code=VALUE, covers=_EBS + "VolumeSize",
        says=lambda ebs: f"The volume size is invalid for {ebs['VolumeType']} volumes: {ebs['VolumeSize']} "
        f"GiB. {ebs['VolumeType']} volumes must be at least {_limit('VolumeSize', ebs, least=True)} GiB in "
        "size. Please specify a volume size above the minimum limit.",
        doc="io2: 4 - 65,536 GiB", source=OWN_WORDS),
    Row(where=VOLUME, takes=_within("Iops", least=True), code=VALUE, covers=_EBS + "Iops",
        says=lambda ebs: f"Volume iops of {ebs['Iops']} is too low; minimum is "
        f"{_limit('Iops', ebs, least=True)}.",
        doc="gp3: 3,000 - 80,000 IOPS", source=HUB + "fog/fog-aws: its mock of CreateVolume"),
    Row(where=VOLUME, takes=_within("Iops", least=False), code=VALUE, covers=_EBS + "Iops",
        says=lambda ebs: f"Volume iops of {ebs['Iops']} is too high; maximum is "
        f"{_limit('Iops', ebs, least=False)}.",
        doc="io2: 100 - 256,000 IOPS", source=HUB + "fog/fog-aws: its mock of CreateVolume"),
    Row(where=VOLUME, takes=_has_iops_for_its_size, code=VALUE, covers=_EBS + "Iops",
        says=lambda ebs: f"Iops to volume size ratio of {_iops_ratio(ebs):.6f} is too high; maximum is "
        f"{_IOPS_PER_GIB[ebs['VolumeType']]}",
        source=HUB + "rocicorp/mono/pull/4410"),
    Row(where=VOLUME, takes=lambda ebs: 125 <= int(ebs.get("Throughput") or 125) <= 2_000, code=VALUE,
        says=lambda ebs: f"Volume throughput of {ebs['Throughput']} is too "
        + ("low; minimum is 125." if int(ebs["Throughput"]) < 125 else "high; maximum is 2000."),
        covers=_EBS + "Throughput", doc="Valid Range: Minimum value of 125. Maximum value of 2,000.",
        source="as of iops"),
    Row(where=VOLUME, takes=lambda ebs: _throughput_ratio(ebs) <= _MIB_PER_IOPS, code=COMBINATION,
        says=lambda ebs: f"Throughput (MiBps) to iops ratio of {_throughput_ratio(ebs):.6f} is too high; "
        f"maximum is {_MIB_PER_IOPS:.6f} MiBps per iops",
        covers=_EBS + "Throughput", source="recorded: RunInstances"),
    Row(where=VOLUME, takes=lambda ebs: not ebs.get(_RATE) or ebs.get("SnapshotId"), code=COMBINATION,
        says=f"The parameter {_RATE} is supported only for volumes created from snapshots.",
        covers=_EBS + _RATE, doc="This parameter is supported only for volumes created from snapshots.",
        source=OWN_WORDS),
    Row(where=VOLUME, takes=lambda ebs: 100 <= int(ebs.get(_RATE) or 100) <= 300, code=VALUE,
        says=lambda ebs: f"Volume initialization rate of {ebs[_RATE]} is out of range: 100 to 300 MiB/s.",
        covers=_EBS + _RATE, doc="Valid range: 100 - 300 MiB/s", source=OWN_WORDS),
)  # fmt: skip
