"""AWS's refusals and their remedies: one table, used by `errors.translated`.

Codes and messages are AWS's: "Error codes for the Amazon EC2 API" (EC2 Developer Guide), "Troubleshoot access
denied error messages" (IAM User Guide), and public reports (see a row's comment).
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_box.aws import throttled
from gpu_box.errors import (
    CapacityError,
    CloudError,
    CredentialsError,
    PermissionDenied,
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
DENIED_CODES = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",  # the same, of JSON services
    }
)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A row: the refusals it matches, and what the user reads.

    codes, words, operations: regular expressions; `words` is searched in AWS's message, the others match in
    full. what, remedy: for str.format, with the named groups of `words`, `operation` and `url` (the first in
    the message). AWS's own message and code follow `what`.
    """

    codes: str
    what: str
    remedy: str
    words: str = ""
    operations: str = ".*"
    kind: type[CloudError] = CloudError


_PLAN = "Ask for the permissions in infra/operator-policy.json (`gpu-box policy` prints them)"
_ACTION = r"perform: (?P<action>[a-z0-9-]+:\w+)(?: on resource: (?P<resource>\S+))?"
_SIGN_IN = "`aws login`, `aws sso login` or fresh keys"
_DENIED = "|".join(sorted(DENIED_CODES))
_STS = "AssumeRole|AssumeRoleWithSAML|AssumeRoleWithWebIdentity"
_SUPPORT = "https://support.console.aws.amazon.com/support"

# The first matching row is used.
TABLE = (
    # Calls that the SDK makes for credentials.
    Refusal(
        codes=_DENIED,
        operations=_STS,
        words="MultiFactorAuthentication failed",
        kind=CredentialsError,
        what="AWS does not accept the MFA code",
        remedy="Run this again and type the current code of the device in mfa_serial.",
    ),
    Refusal(
        codes="ExpiredTokenException|InvalidIdentityToken|IDP(RejectedClaim|CommunicationError)|AccessDenied",
        operations="AssumeRoleWithWebIdentity",
        kind=CredentialsError,
        what="AWS does not accept the web identity token",
        remedy="Renew the file that AWS_WEB_IDENTITY_TOKEN_FILE (in ~/.aws/config: web_identity_token_file) "
        "names; the trust policy of the role must allow its provider.",
    ),
    Refusal(
        codes=_DENIED,
        operations=_STS,
        kind=CredentialsError,
        what="you may not assume the role of your AWS profile",
        remedy="Check role_arn, source_profile and mfa_serial in ~/.aws/config; the role's trust policy must "
        "allow you.",
    ),
    Refusal(
        codes="ForbiddenException|ResourceNotFoundException|InvalidRequestException",
        operations="GetRoleCredentials",
        kind=CredentialsError,
        what="IAM Identity Center does not give you this role",
        remedy="Check sso_account_id and sso_role_name in ~/.aws/config; `aws configure sso` lists yours.",
    ),
    # Credentials and the account.
    Refusal(
        codes="ExpiredToken|ExpiredTokenException",
        kind=CredentialsError,
        what="your AWS credentials have expired",
        remedy=f"Sign in again ({_SIGN_IN}), then run this again.",
    ),
    Refusal(
        codes="RequestExpired",
        kind=CredentialsError,
        what="your AWS credentials have expired, or this computer's clock is wrong",
        remedy=f"Sign in again ({_SIGN_IN}), then run this again; `gpu-box doctor` checks the clock.",
    ),
    Refusal(
        codes="AuthFailure",
        words="Not authorized for image",
        what="the image is private, deleted, or in another region",
        remedy="Set image.id to an image of this region that is public or shared with your account, or "
        "remove it.",
    ),
    Refusal(
        codes="OptInRequired",
        words="(?i)marketplace",
        what="the image is an AWS Marketplace product whose terms your account has not accepted",
        remedy="Accept them there, then run this again: {url}",
    ),
    Refusal(
        codes="OptInRequired",
        what="your AWS account is not signed up for this service, or not active yet",
        remedy="Finish the sign-up in the AWS console (payment method, phone number); a new account can take "
        "hours to become active.",
    ),
    Refusal(
        # splunk/attack_range#1302, aws-samples/eks-workshop-v2#1644
        codes="InvalidParameterCombination",
        words="(?P<thing>instance type|image) is not eligible for Free Tier",
        what="your AWS account is on the Free plan, which does not include this {thing}",
        remedy="Upgrade to the Paid plan in the Billing console (`gpu-box doctor` shows your plan), then run "
        "this again.",
    ),
    Refusal(
        codes="PendingVerification",
        what="AWS is still verifying your account for this region",
        remedy="Wait: it usually takes minutes, and up to 4 hours. Then run this again; if it takes "
        f"longer, write to AWS Support ({_SUPPORT}).",
    ),
    Refusal(
        codes="Blocked",
        what="AWS has blocked your account",
        remedy=f"Only AWS Support can unblock it: {_SUPPORT}",
    ),
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
    # Permissions. The policy types are from "Troubleshoot access denied error messages".
    Refusal(
        codes="AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        kind=PermissionDenied,
        what="your AWS user may not do this (iam:CreateServiceLinkedRole, for the first spot instance)",
        remedy=f"{_PLAN}, or ask an administrator to run `aws iam create-service-linked-role "
        "--aws-service-name spot.amazonaws.com`.",
    ),
    Refusal(
        codes=_DENIED,
        words=f"{_ACTION}.*(?P<policy>service control policy|resource control policy)",
        kind=PermissionDenied,
        what="a {policy} of your organisation forbids {action} on {resource}",
        remedy="Ask the administrators of your AWS organisation: your own permissions do not help. Such "
        "policies often require certain regions, instance types or tags.",
    ),
    Refusal(
        codes=_DENIED,
        words=f"{_ACTION}.*(?P<policy>permissions boundary|session policy|VPC endpoint policy)",
        kind=PermissionDenied,
        what="a {policy} does not allow {action} on {resource}",
        remedy="Ask your AWS administrators to allow there, too, what `gpu-box policy` prints: your user's "
        "own policy is not enough.",
    ),
    Refusal(
        codes=_DENIED,
        words=f"{_ACTION}.*explicit deny in an? (?P<policy>identity-based policy|resource-based policy)",
        kind=PermissionDenied,
        what="an explicit deny ({policy}) forbids {action} on {resource}",
        remedy="Ask your AWS administrators to change it: what `gpu-box policy` prints does not override it.",
    ),
    Refusal(
        codes=_DENIED,
        words=_ACTION,
        kind=PermissionDenied,
        what="your AWS user may not do this ({action})",
        remedy=f"{_PLAN}.",
    ),
    Refusal(
        codes=_DENIED,
        kind=PermissionDenied,
        what="your AWS user may not do this ({operation})",
        remedy=f"{_PLAN}.",
    ),
    Refusal(
        codes="|".join(sorted(CREDENTIAL_CODES)),
        kind=CredentialsError,
        what="AWS does not accept these credentials",
        remedy="The keys or this computer's clock are wrong, or your account has not enabled this region: "
        "`gpu-box doctor` shows which.",
    ),
    Refusal(codes=".*", what="AWS refused {operation}", remedy=""),
)
