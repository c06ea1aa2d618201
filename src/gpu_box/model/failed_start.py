"""PURE: why AWS gave up an instance after accepting it: `pending`, then `stopped` or `terminated`.

Codes are those of EC2's StateReason (API reference, "StateReason"). For KMS see
aws/karpenter-provider-aws#1407 and CiscoDevNet/cloud-cml#8, for disks hashicorp/terraform#5909.
"""

from __future__ import annotations

from gpu_box.errors import CapacityError, CloudError, QuotaError
from gpu_box.model.observed import Instance

_NO_ROOM = frozenset({"Server.InsufficientInstanceCapacity", "Server.SpotInstanceTermination"})
_NO_DISK_LEFT = "Client.VolumeLimitExceeded"
# EC2 says "Client.InternalError: Client error on launch" if it may not use the disk's key.
_DISK = frozenset({"Client.InvalidParameterCombination", "Client.InvalidSnapshot.NotFound"})
_KEY = ("Client.InternalError", "Client.InvalidKMSKey", "Client.KMS")
# EC2 User Guide, "Service-linked role for Spot Instance requests".
_SPOT_KEY = (
    " For spot instances, AWS's own role for them needs a grant for a key of yours: `aws kms create-grant "
    "--key-id KEY --grantee-principal ROLE --operations Decrypt Encrypt GenerateDataKey "
    "GenerateDataKeyWithoutPlaintext CreateGrant DescribeKey ReEncryptFrom ReEncryptTo`, where ROLE is the "
    "ARN of AWSServiceRoleForEC2Spot (`aws iam get-role --role-name` shows it)."
)


def had_no_room(instance: Instance) -> bool:
    """Whether AWS turned out to have no capacity, so that another placement may work."""
    return not instance.exists and instance.reason_code in _NO_ROOM


def failed_start(instance: Instance) -> CloudError:
    """The error for an instance that was meant to run and is stopping or stopped."""
    code, what = instance.reason_code, f"AWS gave up starting {instance.id}"
    if code in _NO_ROOM:
        return CapacityError(
            f"AWS has no {instance.type} left in {instance.zone} after all ({code})",
            code=code,
            remedy="`gpu-box up --wait 1h` keeps trying until there is capacity; if the box has a disk, "
            "`gpu-box resize TYPE` or `gpu-box move` moves it elsewhere.",
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
            f"{what}: it probably cannot use the disk's KMS key ({instance.reason or code})",
            code=code,
            remedy="The key is aws.kms_key, or the account's own (EC2 console, EBS encryption): enable it, "
            "and allow your AWS user kms:CreateGrant, kms:Decrypt, kms:DescribeKey and "
            "kms:GenerateDataKeyWithoutPlaintext in its policy."
            + (_SPOT_KEY if instance.market == "spot" else ""),
        )
    if code in _DISK:
        return CloudError(
            f"{what}: the disk cannot be created ({instance.reason or code})",
            code=code,
            remedy="Correct `disk` in config.yaml, then run `gpu-box up` again.",
        )
    reason = f" ({instance.reason or code})" if instance.reason or code else ""
    return CloudError(
        f"instance {instance.id} is {instance.state} instead of running{reason}",
        code=code,
        remedy="Run the command again; `gpu-box status` shows what AWS says.",
    )
