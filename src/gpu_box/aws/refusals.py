"""AWS's refusals and their remedies: one table, used by `errors.translated`.

Codes and messages are AWS's: "Error codes for the Amazon EC2 API" (EC2 Developer Guide), the API references
of IAM, Service Quotas and EventBridge Scheduler, and public reports (see a row's comment).
"""

from __future__ import annotations

from gpu_box.aws import throttled
from gpu_box.aws.refusal import SUPPORT, Refusal
from gpu_box.aws.refused_access import ACCESS
from gpu_box.errors import CapacityError, PermissionDenied, QuotaError, UnsupportedError

# Codes after which another zone or type may work. Reserved Instances have two: a client error, and a server
# error in the singular.
CAPACITY_CODES = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientAddressCapacity",
        "InsufficientCapacity",
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

# Server errors of EC2, IAM, Scheduler, SSM, STS and Service Quotas, after the SDK's retries.
_FAULTS = (
    "Internal(Error|Failure|ServerError|ServiceError|Server|Service)(Exception)?|Unavailable|"
    "Service(Exception|Failure|Unavailable)(Exception)?|DEPENDENCY_SERVICE_ERROR|"
    "SERVICE_QUOTA_NOT_AVAILABLE_ERROR"
)
_OUTAGES = "AWS reports outages at https://health.aws.amazon.com/health/status"
_BUSY = (
    "Concurrent(CreateImageNoReboot|Snapshot)LimitExceeded|PendingSnapshotLimitExceeded|"
    "SnapshotCreationPerVolumeRateExceeded|ConcurrentTagAccess|ConcurrentModification(Exception)?|"
    "EntityTemporarilyUnmodifiable|ConflictException|IncorrectState"
)
_OTHER_ZONE = "is not supported in your requested Availability Zone"

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
        codes="VolumeLimitExceeded|MaxIOPSLimitExceeded|VolumeModificationSizeLimitExceeded",
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
        codes="IllegalArgumentException",
        operations="RequestServiceQuotaIncrease",
        words="greater than the current quota value",
        what="the quota is that large already",
        remedy="AWS has just raised it: run `gpu-box doctor` again in some minutes.",
    ),
    Refusal(
        codes="NoSuchResourceException|InvalidResourceStateException",
        operations=".*ServiceQuota.*",
        what="Service Quotas cannot show or raise this quota in this region",
        remedy="`gpu-box up` shows whether AWS starts the type here; AWS Support changes such quotas "
        f"({SUPPORT}).",
    ),
    Refusal(
        # ErrorReason in the API reference; the role: AWS Support User Guide, "AWS Support App".
        codes="DependencyAccessDeniedException|DEPENDENCY_ACCESS_DENIED_ERROR",
        kind=PermissionDenied,
        what="Service Quotas has no access to this quota for your AWS user",
        remedy="Ask an administrator to request it in the Service Quotas console: the first request there "
        "makes the role that Service Quotas needs (AWSServiceRoleForServiceQuotas).",
    ),
    Refusal(
        codes="|".join((*throttled.CODES, "DEPENDENCY_THROTTLING_ERROR", "TooManyRequestsError")),
        what="your account has sent AWS too many requests",
        remedy="Run this again in a minute to continue.",
    ),
    Refusal(
        codes=_BUSY,
        what="AWS is still busy with an earlier request",
        remedy="Wait some minutes, then run this again.",
    ),
    Refusal(  # runs-on/runs-on#485
        codes="TagLimitExceeded|InvalidTagKey.Malformed|TagPolicyViolation(Exception)?",
        what="AWS, or a tag policy of your organisation, does not accept these tags",
        remedy="Correct aws.tags in config.yaml.",
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
        words=_OTHER_ZONE,
        operations="RunInstances",
        kind=UnsupportedError,
        what="AWS does not offer this instance type in this zone",
        remedy="It is not offered there, so waiting does not help: set other zones, or other instance_types, "
        "in config.yaml.",
    ),
    Refusal(
        codes="Unsupported",
        words=_OTHER_ZONE,
        kind=UnsupportedError,
        what="AWS does not offer this instance type in the zone of the box's disk",
        remedy="Waiting does not help: `gpu-box resize TYPE` takes another type, `gpu-box move` another "
        "zone.",
    ),
    Refusal(
        codes="VolumeTypeNotAvailableInZone",
        kind=UnsupportedError,
        what="AWS does not offer this type of disk in this zone",
        remedy="Waiting does not help: set other zones, or another disk.type, in config.yaml.",
    ),
    Refusal(
        codes="Unsupported",
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
        # keithvassallomt/parsec-aws-automation#4, RhinoSecurityLabs/cloudgoat#247, ansible/workshops#378
        codes="InvalidParameterCombination|InvalidParameterValue|UnsupportedOperation",
        words="is required for the .* instance type|boot mode|Marketplace product is not supported",
        operations="RunInstances",
        kind=UnsupportedError,
        what="the image does not work on this instance type",
        remedy="Waiting does not help: set another image.id or remove it, or set other instance_types.",
    ),
    *(
        Refusal(
            codes=codes,
            words=words,
            operations="RunInstances|ModifyVolume",
            what="AWS does not offer such a disk",
            remedy="Correct `disk` in config.yaml.",
        )
        for codes, words in (
            ("InvalidParameterCombination|InvalidParameterValue", "(?i)throughput|iops|volume"),
            ("BootForVolumeTypeUnsupported|UnknownVolumeType|VolumeIOPSLimit", ""),
        )
    ),
    Refusal(
        codes=r"CustomerKeyHasBeenRevoked|(InvalidKMSKey|KMS|Kms)\S*",
        what="EC2 cannot use the KMS key of the disk",
        remedy="Check aws.kms_key in config.yaml, or the account's own key (EC2 console, EBS encryption): it "
        "must be enabled, in this region, and allowed to your AWS user.",
    ),
    Refusal(
        codes=r"InvalidAMIID\.\w+",
        what="the image was deleted, or is in another region",
        remedy="Set image.id to an image of this region, or remove it.",
    ),
    Refusal(
        codes="InvalidInstanceAttributeValue",
        words="Modifying the instance type",
        what="AWS cannot change this instance to that type; nothing was lost",
        remedy="`gpu-box up` starts it unchanged. For that type: `gpu-box bake`, `gpu-box down "
        "--keep-image`, set instance_types, `gpu-box up`.",
    ),
    Refusal(
        codes=r"InvalidKey(Pair)?\.Format",
        what="EC2 does not accept the public key",
        remedy="It takes ed25519 and RSA keys, those of 2048 or 4096 bits: set ssh.key to one, or to a new "
        "path, where `up` creates one.",
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
        codes="InvalidAddress.Locked",
        what="AWS has locked this address, mostly because of a reverse DNS record",
        remedy=f"AWS Support unlocks it: {SUPPORT}",
    ),
    Refusal(
        codes="OperationNotPermitted",
        words=r"'disableApi(?P<which>\w+)'",
        what="the instance is protected against this call",
        remedy="The protection was set in the EC2 console (Actions, Instance settings): clear it there, then "
        "run this again. A running instance bills until then.",
    ),
    Refusal(
        codes=_FAULTS,
        what="a fault in AWS itself stopped {operation}",
        remedy=f"Run this again; if it stays so, {_OUTAGES}.",
    ),
    Refusal(  # an answer that is not in AWS's form: the SDK takes HTTP's status as the code
        codes=r"5\d\d",
        what="AWS, or a proxy before it, failed at {operation}",
        remedy=f"Run this again; if it stays so, check your proxy. {_OUTAGES}.",
    ),
    Refusal(
        codes="NoSuchEntity",
        words="not attachable",
        what="there is no policy for the role's permissions boundary in this account",
        remedy="Correct `aws.permissions_boundary` in config.yaml: the ARN that your administrator gave you.",
    ),
    Refusal(
        # "Eventual consistency", EC2 Developer Guide
        codes=r"Invalid\w+\.(NotFound|Unknown)|NoSuchEntity",
        what="AWS refused {operation}",
        remedy="It was deleted meanwhile, or AWS does not show it yet: run this again.",
    ),
    Refusal(codes=".*", what="AWS refused {operation}", remedy=""),
)
