"""PURE: why AWS gave up an instance that it had accepted: `pending`, then `stopped` or `terminated`.

Codes of EC2's StateReason (API reference, "StateReason"); those of KMS as reported in
aws/karpenter-provider-aws#1407 and CiscoDevNet/cloud-cml#8.
"""

from __future__ import annotations

from gpu_box.errors import CapacityError, CloudError, QuotaError
from gpu_box.model.observed import Instance

_NO_ROOM = frozenset({"Server.InsufficientInstanceCapacity", "Server.SpotInstanceTermination"})
_NO_DISK_LEFT = "Client.VolumeLimitExceeded"
# "Client.InternalError: Client error on launch" is what EC2 says where it may not use the disk's key.
_KEY = ("Client.InternalError", "Client.InvalidKMSKey", "Client.KMS")


def had_no_room(instance: Instance) -> bool:
    """Whether AWS had no capacity for it after all, so that another place may have."""
    return not instance.exists and instance.reason_code in _NO_ROOM


def failed_start(instance: Instance) -> CloudError:
    """What to tell of an instance that is on its way down, or down, and was to run."""
    code, what = instance.reason_code, f"AWS gave up starting {instance.id}"
    if code in _NO_ROOM:
        return CapacityError(
            f"AWS has no {instance.type} left in {instance.zone} after all ({code})",
            code=code,
            remedy="`gpu-box up --wait 1h` goes on asking until there is one; if the box's disk is there, "
            "`gpu-box resize TYPE` or `gpu-box move` takes it elsewhere.",
        )
    if code == _NO_DISK_LEFT:
        return QuotaError(
            f"{what}: the account's disks have reached their limit ({code})",
            code=code,
            remedy="Delete disks that you do not need (`gpu-box sweep` lists gpu-box's), or ask for more "
            "storage in the Service Quotas console (Amazon EBS).",
        )
    if code.startswith(_KEY):
        return CloudError(
            f"{what}: most likely it cannot use the disk's KMS key ({instance.reason or code})",
            code=code,
            remedy="The account encrypts disks with a key of its own (EC2 console, EBS encryption): have it "
            "enabled, and its policy allow your AWS user kms:CreateGrant, kms:Decrypt, kms:DescribeKey and "
            "kms:GenerateDataKeyWithoutPlaintext.",
        )
    reason = f" ({instance.reason or code})" if instance.reason or code else ""
    return CloudError(
        f"instance {instance.id} is {instance.state} instead of running{reason}",
        code=code,
        remedy="Run the command again; `gpu-box status` shows what AWS says.",
    )
