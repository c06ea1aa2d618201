"""AWS's refusals and their remedies: one table, used by `errors.translated`.

Codes and messages are AWS's: "Error codes for the Amazon EC2 API" (EC2 Developer Guide), "Troubleshoot access
denied error messages" (IAM User Guide), and public reports (see a row's comment).
"""

from __future__ import annotations

from gpu_box.aws import throttled
from gpu_box.aws.refusal import Refusal
from gpu_box.aws.refused_access import ACCESS
from gpu_box.errors import (
    CapacityError,
    QuotaError,
    UnsupportedError,
)

# Codes after which another zone or type may work. Reserved Instances have two: a client error, and a server
# error in the singular.
CAPACITY_CODES = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientCapacityOnOutpost",
        "InsufficientReservedInstanceCapacity",
        "InsufficientReservedInstancesCapacity",
        "InsufficientVolumeCapacity",
        "InsufficientFreeAddressesInSubnet",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "Unsupported",
        "VolumeTypeNotAvailableInZone",
    }
)
# Quotas of vCPUs or instances of a kind: another family or market may have some left.
FAMILY_QUOTA_CODES = frozenset({"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded"})

# The first matching row is used.
TABLE = (
    *ACCESS,
    # Quotas.
    Refusal(
        codes="MaxSpotInstanceCountExceeded",
        kind=QuotaError,
        what="your account's spot quota does not allow it",
        remedy="`gpu-box doctor --request-quota` requests more (Service Quotas, EC2, 'All ... Spot "
        "Instance Requests'); `market: on-demand` has its own quota.",
    ),
    Refusal(
        codes="VcpuLimitExceeded|InstanceLimitExceeded",
        kind=QuotaError,
        what="your account's quota does not allow it",
        remedy="`gpu-box doctor --request-quota` requests more (Service Quotas, EC2, 'Running On-Demand "
        "... instances'); new accounts start at 0 vCPUs for GPUs.",
    ),
    Refusal(
        codes="VolumeLimitExceeded|MaxIOPSLimitExceeded",
        kind=QuotaError,
        what="your account's quota for EBS disks in this region does not allow it",
        remedy="Delete disks that you do not need (`gpu-box sweep` lists gpu-box's), make `disk` in "
        "config.yaml smaller, or ask for more in the Service Quotas console (Amazon EBS).",
    ),
    Refusal(
        codes="RulesPerSecurityGroupLimitExceeded",
        kind=QuotaError,
        what="the box's security group has as many rules as your account allows",
        remedy="`gpu-box up --remove-foreign-rules` removes those that gpu-box did not make; or list fewer "
        "addresses in network.allow_ssh_from.",
    ),
    Refusal(
        codes="QuotaExceededException",
        operations="RequestServiceQuotaIncrease",
        kind=QuotaError,
        what="your account has too many open requests for quotas",
        remedy="Wait until AWS has decided some (Service Quotas console, 'Quota request history'), then run "
        "this again.",
    ),
    Refusal(
        codes="ResourceAlreadyExistsException",
        operations="RequestServiceQuotaIncrease",
        kind=QuotaError,
        what="a request for this quota is already open",
        remedy="Wait for AWS to decide it (Service Quotas console, 'Quota request history').",
    ),
    Refusal(
        codes="|".join(throttled.CODES),
        what="your account has sent AWS too many requests",
        remedy="Run this again in a minute to continue.",
    ),
    Refusal(
        codes=r"\w*LimitExceeded(Exception)?|ServiceQuotaExceededException",
        kind=QuotaError,
        what="your account has reached a limit",
        remedy="Remove what you do not need (`gpu-box sweep` lists gpu-box's), or ask for more in the "
        "Service Quotas console.",
    ),
    # Places.
    Refusal(
        codes="InsufficientFreeAddressesInSubnet",
        kind=CapacityError,
        what="the subnet has no address left",
        remedy="Set network.subnet to a larger one, or to one for each of several zones.",
    ),
    Refusal(
        codes="Unsupported",
        words="The requested configuration",
        kind=UnsupportedError,
        what="AWS does not support this combination of instance type, image, disk and zone",
        remedy="Waiting does not help: change instance_types, image or disk in config.yaml.",
    ),
    Refusal(
        codes="|".join(sorted(CAPACITY_CODES)),
        kind=CapacityError,
        what="AWS has no capacity there now",
        remedy="",
    ),
    Refusal(
        codes="InvalidParameterCombination",
        words="Cluster placement groups are not supported",
        what="boxes of this instance type cannot form a cluster",
        remedy="Choose instance_types for cluster placement groups (g5, g6, p4d, p5), or `boxes: 1`.",
    ),
    # What the config asks for.
    Refusal(
        codes="InvalidParameterCombination|InvalidParameterValue",
        words=r"(?i)throughput|iops|volume",
        operations="RunInstances|ModifyVolume",
        what="AWS does not offer such a disk",
        remedy="Correct `disk` in config.yaml.",
    ),
    Refusal(
        codes="InvalidInstanceAttributeValue",
        words="Modifying the instance type",
        what="AWS cannot change this instance to that type; nothing was lost",
        remedy="`gpu-box up` starts it unchanged. For that type: `gpu-box bake`, `gpu-box down "
        "--keep-image`, set instance_types, `gpu-box up`.",
    ),
    Refusal(
        codes="InvalidKey.Format",
        what="EC2 does not accept the public key",
        remedy="It takes ed25519 and RSA keys: set ssh.key to one, or to a new path, where `up` creates one.",
    ),
    Refusal(
        # The pattern of IAM's tag values: [\p{L}\p{Z}\p{N}_.:/=+\-@]*
        codes="ValidationError|InvalidInput",
        words=r"'tags\.",
        operations="CreateRole|TagRole",
        what="IAM does not accept a tag of the deadline's role",
        remedy="Set `owner:` in config.yaml to letters, digits, spaces and _ . : / = + - @ only.",
    ),
    Refusal(
        codes="OperationNotPermitted",
        words=r"'disableApi(?P<which>\w+)'",
        what="the instance is protected against this call",
        remedy="The protection was set in the EC2 console (Actions, Instance settings): clear it there, then "
        "run this again. A running instance bills until then.",
    ),
    Refusal(codes=".*", what="AWS refused {operation}", remedy=""),
)
