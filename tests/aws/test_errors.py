"""Each recorded AWS error leads to a message with a remedy and AWS's own text.

recorded_errors.json has errors of the calls that gpu-box makes; `source` is where each was reported.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from gpu_box.aws.errors import translated
from gpu_box.errors import (
    CapacityError,
    CloudError,
    CredentialsError,
    PermissionDenied,
    QuotaError,
    UnsupportedError,
)
from gpu_box.model.failed_start import failed_start
from gpu_box.model.observed import Instance, InstanceState
from tests.paths import POLICY, ROOT

RECORDED: list[dict[str, str]] = json.loads((Path(__file__).parent / "recorded_errors.json").read_text())
RECORDINGS = ROOT.parent / "shared" / "recorded-aws"

# By code and part of the message: the class, and what the line must contain besides AWS's text.
EXPECTED: list[tuple[str, str, type[CloudError], tuple[str, ...]]] = [
    (
        "AuthFailure",
        "Not authorized for images",
        CloudError,
        ("private, deleted, or in another region", "image.id"),
    ),
    (
        "AuthFailure",
        "not able to validate",
        CredentialsError,
        ("clock", "not enabled this region", "`gpu-box doctor`"),
    ),
    ("InvalidClientTokenId", "", CredentialsError, ("not enabled this region", "`gpu-box doctor`")),
    (
        "OptInRequired",
        "Marketplace",
        CloudError,
        (
            "terms",
            "run this again: https://aws.amazon.com/marketplace/pp?sku=3gruvlcso4s66wfg2mdzxg8z6",
        ),
    ),
    ("MaxSpotInstanceCountExceeded", "", QuotaError, ("spot quota", "`gpu-box doctor --request-quota`")),
    ("VcpuLimitExceeded", "", QuotaError, ("`gpu-box doctor --request-quota`", "Service Quotas")),
    ("VolumeLimitExceeded", "", QuotaError, ("EBS disks", "Service Quotas console (Amazon EBS)")),
    (
        "RulesPerSecurityGroupLimitExceeded",
        "",
        QuotaError,
        ("--remove-foreign-rules", "network.allow_ssh_from"),
    ),
    ("Unsupported", "requested configuration", UnsupportedError, ("Waiting does not help", "instance_types")),
    (
        "Unsupported",
        "Availability Zone",
        UnsupportedError,
        ("does not offer this instance type in this zone", "waiting does not help", "set other zones"),
    ),
    ("InvalidAMIID.NotFound", "", CloudError, ("image.id",)),
    ("InvalidAMIID.Malformed", "", CloudError, ("image.id",)),
    ("IllegalArgumentException", "", CloudError, ("that large already", "`gpu-box doctor` again")),
    *(
        (code, "", CloudError, ("AWS refused", "deleted meanwhile", "run this again"))
        for code in ("InvalidGroup.NotFound", "InvalidVolume.NotFound", "NoSuchEntity")
    ),
    ("InsufficientInstanceCapacity", "", CapacityError, ("no capacity there now",)),
    ("InsufficientFreeAddressesInSubnet", "", CapacityError, ("network.subnet",)),
    (
        "UnauthorizedOperation",
        "service control policy",
        PermissionDenied,
        (
            "a service control policy of your organisation forbids ec2:RunInstances on "
            "arn:aws:ec2:us-east-2:123456789012:instance/*",
            "administrators of your AWS organisation",
            "Encoded authorization failure message: g4oZPBqZ4Bni8dE5dGjxYTnOZ",
            "decode-authorization-message",
            "the permission sts:DecodeAuthorizationMessage",
        ),
    ),
    (
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. Encoded",
        PermissionDenied,
        ("may not do this (RunInstances)", "`gpu-box policy`", "decode-authorization-message"),
    ),
    ("AccessDeniedException", "iam:PassRole", PermissionDenied, ("(iam:PassRole)", "`gpu-box policy`")),
    ("AccessDeniedException", "scheduler:", PermissionDenied, ("(scheduler:", "`gpu-box policy`")),
    ("AccessDeniedException", "ssm:", PermissionDenied, ("(ssm:GetParameter)", "`gpu-box policy`")),
    (
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        "",
        PermissionDenied,
        (
            "(iam:CreateServiceLinkedRole, for the first spot instance)",
            "run this once for the account: `aws iam create-service-linked-role --aws-service-name "
            "spot.amazonaws.com`",
            "`market: on-demand`",
        ),
    ),
    (
        "InvalidParameterCombination",
        "image is not eligible for Free Tier",
        CloudError,
        ("image", "Paid plan"),
    ),
    (
        "InvalidParameterCombination",
        "instance type is not eligible for Free Tier",
        CloudError,
        ("on the Free plan, which does not include this instance type", "Upgrade to the Paid plan"),
    ),
    ("InvalidParameterCombination", "Throughput", CloudError, ("`disk` in config.yaml",)),
    ("InvalidParameterCombination", "throughput", CloudError, ("`disk` in config.yaml",)),
    ("InvalidParameterCombination", "Cluster placement groups", CloudError, ("`boxes: 1`",)),
    ("PendingVerification", "", CloudError, ("up to 4 hours", "AWS Support")),
    ("Blocked", "", CloudError, ("Only AWS Support", "https://support.console.aws.amazon.com/support")),
    ("QuotaExceededException", "", QuotaError, ("too many open requests", "Quota request history")),
    ("ResourceAlreadyExistsException", "", QuotaError, ("already open", "Quota request history")),
    ("RequestLimitExceeded", "", CloudError, ("too many requests", "in a minute")),
    ("RequestExpired", "", CredentialsError, ("expired", "clock", "aws sso login")),
    ("InvalidInstanceAttributeValue", "", CloudError, ("nothing was lost", "`gpu-box bake`", "--keep-image")),
    ("InvalidKey.Format", "", CloudError, ("ed25519 and RSA", "ssh.key")),
    ("OperationNotPermitted", "disableApi", CloudError, ("protected", "EC2 console")),
]
# Documented, or quoted elsewhere: (operation, code, message, source, class, what the line must contain).
DENIED = "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: {} on resource: {} "
INSTANCE = "arn:aws:ec2:ap-southeast-1:123456789012:instance/*"
ROLE = "arn:aws:iam::123456789012:role/gpu-box-deadline-us-east-1"
IAM_GUIDE = "IAM User Guide, Troubleshoot access denied error messages"
MORE: list[tuple[str, str, str, str, type[CloudError], tuple[str, ...]]] = [
    (
        "RunInstances",
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. "
        + DENIED.format("ec2:RunInstances", INSTANCE)
        + "with an explicit deny in a permissions boundary: arn:aws:iam::123456789012:policy/lab-boundary. "
        "Encoded authorization failure message: QN7w7t3DAbfvg8Glu6KVPjGh0L6qxL-DvWn7efnpsDylc9yJ",
        "several public repositories, September 2026",
        PermissionDenied,
        (
            f"a permissions boundary does not allow ec2:RunInstances on {INSTANCE}",
            "policy/lab-boundary",
            "QN7w7t3DAbfvg8Glu6KVPjGh0L6qxL-DvWn7efnpsDylc9yJ",
            "decode-authorization-message",
            "your user's own policy is not enough",
        ),
    ),
    (
        "CreateRole",
        "AccessDenied",
        DENIED.format("iam:CreateRole", ROLE)
        + "because no service control policy allows the iam:CreateRole action",
        IAM_GUIDE,
        PermissionDenied,
        (f"a service control policy of your organisation forbids iam:CreateRole on {ROLE}",),
    ),
    (
        "RunInstances",
        "UnauthorizedOperation",
        DENIED.format("ec2:RunInstances", INSTANCE) + "with an explicit deny in a resource control policy",
        IAM_GUIDE,
        PermissionDenied,
        ("a resource control policy of your organisation forbids ec2:RunInstances",),
    ),
    (
        "RunInstances",
        "UnauthorizedOperation",
        DENIED.format("ec2:RunInstances", INSTANCE)
        + "because no session policy allows the ec2:RunInstances action",
        IAM_GUIDE,
        PermissionDenied,
        ("a session policy does not allow ec2:RunInstances", "`gpu-box policy`"),
    ),
    (
        "RunInstances",
        "UnauthorizedOperation",
        DENIED.format("ec2:RunInstances", INSTANCE)
        + "with an explicit deny in an identity-based policy, with policy ARN: "
        "arn:aws:iam::123456789012:policy/NoGpus",
        "IAM User Guide, policy ARNs in access denied error messages",
        PermissionDenied,
        (
            "an explicit deny (identity-based policy) forbids ec2:RunInstances",
            "policy/NoGpus",
            "demands MFA",
            "get-session-token",
            "override",
        ),
    ),
    (
        "RunInstances",
        "UnauthorizedOperation",
        DENIED.format("ec2:RunInstances", INSTANCE)
        + "with an explicit deny in an identity-based policy: arn:aws:iam::123456789012:policy/Force_MFA. "
        "Encoded authorization failure message: QN7w7t3DAbfvg8Glu6KVPjGh0L6qxL",
        "aws/aws-cdk#27622, with AWS's form of the message",
        PermissionDenied,
        (
            f"the policy Force_MFA forbids ec2:RunInstances on {INSTANCE}, probably",
            "Sign in with MFA",
            "mfa_serial",
            "get-session-token --serial-number ARN --token-code CODE",
        ),
    ),
    *(
        (
            operation,
            code,
            DENIED.format(action, INSTANCE) + "with an explicit deny in an identity-based policy: "
            f"arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine{version}",
            "AWS Managed Policy Reference; the message: several public repositories, 2026",
            CredentialsError,
            ("access key in public", "Replace the key", "support case (https://support.console.aws"),
        )
        for operation, code, action, version in (
            ("RunInstances", "UnauthorizedOperation", "ec2:RunInstances", "V2"),
            ("StartInstances", "UnauthorizedOperation", "ec2:StartInstances", "V3"),
            ("CreateRole", "AccessDenied", "iam:CreateRole", "V4"),
        )
    ),
    (
        "GetServiceQuota",
        "SubscriptionRequiredException",
        "The AWS Access Key Id needs a subscription for the service",
        "webiny/webiny-js#1517",
        CloudError,
        ("not signed up for this service", "Finish the sign-up", "AWS Support"),
    ),
    (
        "DescribeInstances",
        "AccessDeniedException",
        "Your account is currently suspended.",
        "AppStream's API reference, InvalidAccountStatusException; EC2's own code is Blocked",
        CloudError,
        ("AWS has blocked your account", "Only AWS Support", "unpaid bills"),
    ),
    *(
        (
            "GetCallerIdentity",
            code,
            message,
            "aws/aws-sdk-go#289, smarty-archives/go-aws-auth#48, EC2 Developer Guide",
            CredentialsError,
            ("no whole signature", "spaces and line ends", "proxy"),
        )
        for code, message in (
            ("MissingAuthenticationToken", "Request is missing Authentication Token"),
            ("MissingAuthenticationTokenException", "Missing Authentication Token"),
            (
                "IncompleteSignature",
                "'x' not a valid key=value pair (missing equal-sign) in Authorization header",
            ),
            ("IncompleteSignatureException", "Authorization header requires 'Signature' parameter."),
        )
    ),
    *(
        (
            "GetCallerIdentity",
            code,
            message,
            "EngineerBetter/control-tower#51, EC2 Developer Guide",
            CredentialsError,
            ("clock is wrong", "timedatectl"),
        )
        for code, message in (
            (
                "SignatureDoesNotMatch",
                "Signature expired: 20191029T154623Z is now earlier than 20191029T163344Z "
                "(20191029T164844Z - 15 min.)",
            ),
            (
                "InvalidSignatureException",
                "Signature not yet current: 20210502T183640Z is still later than 20210502T175140Z",
            ),
            ("InvalidSecurity.RequestHasExpired", ""),
        )
    ),
    (
        "RunInstances",
        "OptInRequired",
        "You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe.",
        "EC2 Developer Guide, OptInRequired",
        CloudError,
        ("not active yet", "payment method", "http://aws.amazon.com to subscribe"),
    ),
    (
        "CreateRole",
        "ValidationError",
        "1 validation error detected: Value at 'tags.2.member.value' failed to satisfy constraint: Member "
        "must satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*",
        "IAM API reference, Tag",
        CloudError,
        ("tag", "`owner:`"),
    ),
    (
        "CreateSecurityGroup",
        "SecurityGroupLimitExceeded",
        "You've reached the limit on the number of security groups.",
        "EC2 Developer Guide",
        QuotaError,
        ("limit", "Service Quotas console"),
    ),
    (
        "GetParameter",
        "ThrottlingException",
        "Rate exceeded",
        "common errors of AWS",
        CloudError,
        ("too many requests",),
    ),
    *(
        (
            operation,
            code,
            message,
            "EC2 Developer Guide, and the API references of IAM, Scheduler, SSM, Service Quotas",
            CloudError,
            (
                f"a fault in AWS itself stopped {operation}",
                "Run this again",
                "health.aws.amazon.com/health/status",
            ),
        )
        for operation, code, message in (
            ("DescribeVolumes", "InternalError", "An internal error has occurred"),
            ("DescribeVolumes", "InternalFailure", ""),
            ("DescribeVolumes", "Unavailable", "The service is unavailable. Please try again shortly."),
            ("DescribeVolumes", "ServiceUnavailable", "The request has failed due to a temporary failure."),
            ("CreateRole", "ServiceFailure", "Service failure"),
            ("CreateSchedule", "InternalServerException", "Unexpected error encountered."),
            ("GetParameter", "InternalServerError", ""),
            ("GetServiceQuota", "ServiceException", "Something went wrong."),
            ("GetProducts", "InternalErrorException", "An error on the server occurred."),
        )
    ),
    (
        "DescribeVolumes",
        "503",
        "Service Unavailable",
        "botocore, of an answer without AWS's form",
        CloudError,
        ("AWS, or a proxy before it", "check your proxy", "health.aws.amazon.com/health/status"),
    ),
    *(
        (
            operation,
            code,
            message,
            "Service Quotas API reference",
            PermissionDenied,
            ("no access to this quota", "Service Quotas console", "AWSServiceRoleForServiceQuotas"),
        )
        for operation, code, message in (
            (
                "RequestServiceQuotaIncrease",
                "DependencyAccessDeniedException",
                "You can't perform this action because a dependency does not have access.",
            ),
            ("GetServiceQuota", "DEPENDENCY_ACCESS_DENIED_ERROR", "The caller lacks permissions."),
        )
    ),
    (
        "RequestServiceQuotaIncrease",
        "TooManyRequestsException",
        "Due to throttling, the request was denied. Slow down the rate of request calls.",
        "Service Quotas API reference",
        CloudError,
        ("too many requests", "in a minute"),
    ),
    *(
        (
            "RunInstances",
            code,
            message,
            source,
            UnsupportedError,
            ("image does not work on this instance type", "image.id", "instance_types"),
        )
        for code, message, source in (
            (
                "InvalidParameterCombination",
                "Enhanced networking with the Elastic Network Adapter (ENA) is required for the "
                "'g4dn.xlarge' instance type. Ensure that you are using an AMI that is enabled for ENA.",
                "keithvassallomt/parsec-aws-automation#4",
            ),
            (
                "InvalidParameterValue",
                "The t2.micro instance type does not support an AMI with a boot mode of UEFI. Only instance "
                "types built on the Nitro System support UEFI.",
                "RhinoSecurityLabs/cloudgoat#247",
            ),
            (
                "UnsupportedOperation",
                "The instance configuration for this AWS Marketplace product is not supported. Please see "
                "the AWS Marketplace site for more information about supported instance types.",
                "ansible/workshops#378",
            ),
        )
    ),
    (
        "RequestServiceQuotaIncrease",
        "InvalidResourceStateException",
        "The resource is in an invalid state.",
        "Service Quotas API reference",
        CloudError,
        ("cannot show or raise this quota", "AWS Support"),
    ),
    (
        "ImportKeyPair",
        "InvalidKeyPair.Format",
        "",
        "EC2 Developer Guide",
        CloudError,
        ("ed25519 and RSA", "ssh.key"),
    ),
    (
        "ReleaseAddress",
        "InvalidAddress.Locked",
        "",
        "EC2 Developer Guide",
        CloudError,
        ("reverse DNS", "AWS Support"),
    ),
    (
        "StartInstances",
        "Unsupported",
        "Your requested instance type (p3.2xlarge) is not supported in your requested Availability Zone "
        "(us-east-1e).",
        "EC2 Auto Scaling User Guide, troubleshooting of launches",
        UnsupportedError,
        ("zone of the box's disk", "`gpu-box resize TYPE`", "`gpu-box move`"),
    ),
    (
        "RunInstances",
        "VolumeTypeNotAvailableInZone",
        "The specified Availability Zone does not support Provisioned IOPS SSD volumes.",
        "EC2 Developer Guide",
        UnsupportedError,
        ("does not offer this type of disk", "disk.type"),
    ),
    *(
        (
            "CreateImage",
            code,
            "",
            "EC2 Developer Guide; IAM, Scheduler",
            CloudError,
            ("busy", "Wait some minutes"),
        )
        for code in (
            "ConcurrentSnapshotLimitExceeded",
            "ConcurrentCreateImageNoRebootLimitExceeded",
            "SnapshotCreationPerVolumeRateExceeded",
            "ConcurrentTagAccess",
            "ConcurrentModification",
            "ConflictException",
        )
    ),
    *(
        ("RunInstances", code, message, "runs-on/runs-on#485, EC2", CloudError, ("these tags", "aws.tags"))
        for code, message in (
            ("TagLimitExceeded", ""),
            ("InvalidTagKey.Malformed", ""),
            (
                "TagPolicyViolation",
                "The tag policy does not allow the specified value for the following tag key: 'Project'.",
            ),
        )
    ),
    *(
        (
            "RunInstances",
            code,
            "",
            "EC2 Developer Guide",
            CloudError,
            ("such a disk", "`disk` in config.yaml"),
        )
        for code in ("BootForVolumeTypeUnsupported", "UnknownVolumeType", "VolumeIOPSLimit")
    ),
    *(
        ("RunInstances", code, "", "EC2 Developer Guide", CloudError, ("KMS key", "aws.kms_key"))
        for code in ("CustomerKeyHasBeenRevoked", "InvalidKMSKey.InvalidState")
    ),
    (
        "AssumeRole",
        "AccessDenied",
        "MultiFactorAuthentication failed with invalid MFA one time pass code.",
        "aws/aws-cli#2279",
        CredentialsError,
        ("does not accept the MFA code", "works once", "the next one"),
    ),
    (
        "AssumeRole",
        "AccessDenied",
        "MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number "
        "is valid and associated with this user.",
        "99designs/aws-vault#676",
        CredentialsError,
        ("no such MFA device", "mfa_serial", "Security credentials"),
    ),
    (
        "AssumeRole",
        "AccessDenied",
        "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.",
        "y13i/sgviz#9",
        CredentialsError,
        ("demands an MFA code", "mfa_serial, beside role_arn"),
    ),
    *(
        (
            "AssumeRole",
            "ValidationError",
            message,
            source,
            CredentialsError,
            ("longer session", "duration_seconds", "3600"),
        )
        for message, source in (
            ("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", "awsu#27"),
            (
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
                "chaining.",
                "99designs/aws-vault#263",
            ),
        )
    ),
    (
        "AssumeRole",
        "ValidationError",
        "1 validation error detected: Value 'a' at 'roleArn' failed to satisfy constraint: Member must have "
        "length greater than or equal to 20",
        "STS API reference, AssumeRole",
        CredentialsError,
        ("setting of your AWS profile", "role_arn"),
    ),
    (
        "AssumeRole",
        "RegionDisabledException",
        "STS is not activated in this region for account:123456789012. Your account administrator can "
        "activate STS in this region using the IAM Console.",
        "turbot/steampipe-plugin-aws#1510",
        CredentialsError,
        ("has not activated STS in this region", "IAM console", "`region:`"),
    ),
    (
        "AssumeRoleWithWebIdentity",
        "InvalidIdentityToken",
        "No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com",
        "aws-actions/configure-aws-credentials#280",
        CredentialsError,
        ("does not know the provider", "Identity providers"),
    ),
    (
        "AssumeRoleWithWebIdentity",
        "InvalidIdentityToken",
        "Couldn't retrieve verification key from your identity provider, please reference "
        "AssumeRoleWithWebIdentity documentation for requirements",
        "GitLab's documentation of OpenID Connect",
        CredentialsError,
        ("cannot ask the provider", "Run this again"),
    ),
    (
        "AssumeRoleWithWebIdentity",
        "InvalidIdentityToken",
        "Incorrect token audience",
        "several public repositories",
        CredentialsError,
        ("does not accept the web identity token", "audience"),
    ),
    (
        "AssumeRoleWithWebIdentity",
        "AccessDenied",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        "STS API reference",
        CredentialsError,
        ("the role does not accept your web identity token", "trust policy"),
    ),
    (
        "AssumeRole",
        "AccessDenied",
        DENIED.format("sts:AssumeRole", "arn:aws:iam::123456789012:role/gpu"),
        IAM_GUIDE,
        CredentialsError,
        ("may not assume the role of your AWS profile", "role_arn", "trust policy"),
    ),
    (
        "AssumeRoleWithWebIdentity",
        "ExpiredTokenException",
        "The web identity token that was passed is expired or is not valid. Get a new identity token from "
        "the identity provider and then retry the request.",
        "STS API reference, AssumeRoleWithWebIdentity",
        CredentialsError,
        ("web identity token", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ),
    (
        "GetRoleCredentials",
        "ForbiddenException",
        "No access",
        "ministryofjustice/modernisation-platform#10161",
        CredentialsError,
        ("IAM Identity Center", "sso_role_name"),
    ),
]


def read(operation: str, code: str, message: str) -> CloudError:
    """The error that the user reads."""
    answer = {"Error": {"Code": code, "Message": message}}
    with pytest.raises(CloudError) as raised, translated("doing it"):
        raise ClientError(answer, operation)  # type: ignore[arg-type]
    return raised.value


def name(row: dict[str, str]) -> str:
    return f"{row['operation']}-{row['code']}-{row['message'][:24]}"


@pytest.mark.parametrize("row", RECORDED, ids=name)
def test_each_recorded_error_has_its_remedy_and_aws_s_own_words(row: dict[str, str]) -> None:
    raised = read(row["operation"], row["code"], row["message"])
    line = str(raised)
    assert "\n" not in line
    assert " ".join(row["message"].split()).rstrip(".") in line
    assert f"({row['code']})" in line and " ()" not in line
    kind, pieces = next(
        ((k, p) for code, part, k, p in EXPECTED if code == row["code"] and part in row["message"]),
        (CloudError, (f"AWS refused {row['operation']}",)),
    )
    assert type(raised) is kind
    for piece in pieces:
        assert piece in line


@pytest.mark.parametrize(("code", "part"), [(code, part) for code, part, *_ in EXPECTED])
def test_each_expectation_is_of_a_recorded_error(code: str, part: str) -> None:
    assert any(row["code"] == code and part in row["message"] for row in RECORDED)


@pytest.mark.parametrize(("operation", "code", "message", "source", "kind", "pieces"), MORE)
def test_each_documented_error_has_its_remedy(
    operation: str, code: str, message: str, source: str, kind: type[CloudError], pieces: tuple[str, ...]
) -> None:
    raised = read(operation, code, message)
    assert type(raised) is kind
    for piece in (*pieces, message.rstrip(".")):
        assert piece in str(raised)


def test_a_spot_instance_that_cannot_use_its_key_names_the_grant_of_aws_s_role() -> None:
    lines = {
        market: str(
            failed_start(
                Instance(
                    id="i-1",
                    state=InstanceState.TERMINATED,
                    type="g5.xlarge",
                    zone="us-east-1a",
                    launched=datetime(2026, 11, 29, tzinfo=UTC),
                    market=market,
                    reason_code="Client.InternalError",
                )
            )
        )
        for market in ("spot", "on-demand")
    }
    assert "aws kms create-grant" in lines["spot"] and "AWSServiceRoleForEC2Spot" in lines["spot"]
    assert "create-grant" not in lines["on-demand"] and "aws.kms_key" in lines["on-demand"]


def test_no_recorded_error_of_our_calls_is_left_out() -> None:
    if not RECORDINGS.is_dir():
        pytest.skip("needs the recorded answers beside the project")
    allowed = {"sts:GetCallerIdentity"}
    for statement in (s for file in POLICY for s in json.loads(file.read_text())["Statement"]):
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    known = {(row["operation"], row["code"], row["message"]) for row in RECORDED}
    for file in RECORDINGS.glob("*.json"):
        recorded = json.loads(file.read_text())
        service = recorded["service"].replace("service-quotas", "servicequotas")
        if "error" in recorded and f"{service}:{recorded['operation']}" in allowed:
            error = recorded["error"]
            assert (recorded["operation"], error["code"], error["message"] or "") in known, file.name


@pytest.mark.parametrize(
    ("code", "message", "source", "pieces"),
    [
        (
            "Client.InternalError",
            "Client.InternalError: Client error on launch",
            "aws/karpenter-provider-aws#1407",
            ("KMS key", "kms:CreateGrant", "EBS encryption"),
        ),
        (
            "Client.InvalidKMSKey.InvalidState",
            "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state",
            "CiscoDevNet/cloud-cml#8",
            ("KMS key", "enable it"),
        ),
        (
            "Client.InvalidParameterCombination",
            "Client.InvalidParameterCombination: Could not create volume with size 20GiB and iops 20100 from "
            "snapshot 'null'",
            "hashicorp/terraform#5909",
            ("`disk` in config.yaml",),
        ),
        (
            "Server.InternalError",
            "Server.InternalError: Internal error on launch",
            "jtriley/StarCluster#288",
            ("Run the command again",),
        ),
    ],
)
def test_an_instance_that_aws_gave_up_says_why(
    code: str, message: str, source: str, pieces: tuple[str, ...]
) -> None:
    given_up = Instance(
        id="i-1",
        state=InstanceState.TERMINATED,
        type="g5.xlarge",
        zone="us-east-1a",
        launched=datetime(2026, 11, 29, tzinfo=UTC),
        reason_code=code,
        reason=message,
    )
    line = str(failed_start(given_up))
    for piece in (*pieces, message.removeprefix(f"{code}: ")):
        assert piece in line
