"""AWS's refusals of who asks, not of what is asked: sign-in, account, permissions. Rows for `refusals`.

Sources, besides a row's own: STS API reference, IAM User Guide ("Troubleshoot access denied error messages",
"Manage AWS STS in an AWS Region"), AWS Managed Policy Reference, EC2 Developer Guide (error codes).
"""

from __future__ import annotations

from gpu_box.aws.refusal import SUPPORT, Refusal
from gpu_box.errors import CredentialsError, PermissionDenied

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
# AWS's answers to a request whose time is wrong; each may have another reason.
CLOCK_CODES = CREDENTIAL_CODES | {"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"}

_DENIED = "|".join(sorted(DENIED_CODES))
_STS = "AssumeRole|AssumeRoleWithSAML|AssumeRoleWithWebIdentity"
_WEB = "AssumeRoleWithWebIdentity"
_AGAIN = "`aws login`, `aws sso login` or fresh keys"
_DEVICE = "the ARN of your MFA device (IAM console, your user, Security credentials)"
# https://repost.aws/knowledge-center/authenticate-mfa-cli
_WITH_MFA = (
    "by a profile with role_arn and mfa_serial in ~/.aws/config, or with the keys that `aws sts "
    "get-session-token --serial-number ARN --token-code CODE` prints"
)
_PLAN = "Ask for the permissions in infra/operator-policy.json (`gpu-box policy` prints them)"
_NOT_ACTIVE = "(is|has been) (currently |temporarily )?(blocked|suspended|disabled)"
_MFA_POLICY = r"identity-based policy.*/(?P<name>[\w+=,@-]*(?i:mfa|multi-?factor)[\w+=,@-]*)"
_ACTION = r"perform: (?P<action>[a-z0-9-]+:\w+)(?: on resource: (?P<resource>\S+))?"

# Calls that the SDK makes for credentials.
_SIGN_IN = (
    Refusal(  # aws/aws-cli#2279
        codes=_DENIED,
        operations=_STS,
        words="invalid MFA one time pass code",
        kind=CredentialsError,
        what="AWS does not accept the MFA code",
        remedy="Each code works once: wait until the device shows the next one, then run this again.",
    ),
    Refusal(  # 99designs/aws-vault#676, broamski/aws-mfa#46
        codes=_DENIED,
        operations=_STS,
        words="unable to validate MFA code",
        kind=CredentialsError,
        what="AWS knows no such MFA device of yours",
        remedy=f"Set mfa_serial in ~/.aws/config to {_DEVICE}.",
    ),
    Refusal(  # y13i/sgviz#9
        codes=_DENIED,
        operations=_STS,
        words="MultiFactorAuthentication failed",
        kind=CredentialsError,
        what="the role of your AWS profile demands an MFA code",
        remedy=f"Set mfa_serial, beside role_arn in ~/.aws/config, to {_DEVICE}.",
    ),
    Refusal(  # aws-actions/configure-aws-credentials#280
        codes="InvalidIdentityToken",
        operations=_WEB,
        words="No OpenIDConnect provider",
        kind=CredentialsError,
        what="the account of your role does not know the provider of the web identity token",
        remedy="Ask an administrator of that account to add it (IAM console, Identity providers), or correct "
        "role_arn.",
    ),
    Refusal(
        codes="IDPCommunicationError|InvalidIdentityToken",
        operations=_WEB,
        words="could not be reached|retrieve verification key",
        kind=CredentialsError,
        what="AWS cannot ask the provider of the web identity token",
        remedy="Run this again; if it stays so, the provider's address must answer AWS from the internet.",
    ),
    Refusal(
        codes=_DENIED,
        operations=_WEB,
        kind=CredentialsError,
        what="the role does not accept your web identity token",
        remedy="Its trust policy must allow the token's provider, audience and subject; role_arn (or "
        "AWS_ROLE_ARN) names the role.",
    ),
    Refusal(
        codes="ExpiredTokenException|InvalidIdentityToken|IDP(RejectedClaim|CommunicationError)",
        operations=_WEB,
        kind=CredentialsError,
        what="AWS does not accept the web identity token",
        remedy="Renew the file that AWS_WEB_IDENTITY_TOKEN_FILE (in ~/.aws/config: web_identity_token_file) "
        "names; its audience must be one of those of the provider in IAM.",
    ),
    Refusal(
        codes=_DENIED,
        operations=_STS,
        kind=CredentialsError,
        what="you may not assume the role of your AWS profile",
        remedy="Check role_arn, source_profile and mfa_serial in ~/.aws/config; the role's trust policy must "
        "allow you.",
    ),
    Refusal(  # kreuzwerker/awsu#27, 99designs/aws-vault#263
        codes="ValidationError",
        operations=_STS,
        words="DurationSeconds exceeds",
        kind=CredentialsError,
        what="your AWS profile asks for a longer session than its role allows",
        remedy="Remove duration_seconds from ~/.aws/config, or set it to at most the role's maximum: 3600 if "
        "you assume it with temporary credentials.",
    ),
    Refusal(
        codes="ValidationError",
        operations=_STS,
        kind=CredentialsError,
        what="a setting of your AWS profile is not valid",
        remedy="Correct it in ~/.aws/config: role_arn, mfa_serial, role_session_name, external_id, "
        "duration_seconds.",
    ),
    Refusal(
        codes="RegionDisabledException",
        kind=CredentialsError,
        what="the account of your role has not activated STS in this region",
        remedy="An administrator activates it in the IAM console (Account settings, STS); or set `region:` "
        "to one where it is active, such as us-east-1.",
    ),
    Refusal(
        codes="ForbiddenException|ResourceNotFoundException|InvalidRequestException",
        operations="GetRoleCredentials",
        kind=CredentialsError,
        what="IAM Identity Center does not give you this role",
        remedy="Check sso_account_id and sso_role_name in ~/.aws/config; `aws configure sso` lists yours.",
    ),
)

_CREDENTIALS = (
    Refusal(
        codes="ExpiredToken|ExpiredTokenException",
        kind=CredentialsError,
        what="your AWS credentials have expired",
        remedy=f"Sign in again ({_AGAIN}), then run this again.",
    ),
    Refusal(
        codes="RequestExpired",
        kind=CredentialsError,
        what="your AWS credentials have expired, or this computer's clock is wrong",
        remedy=f"Sign in again ({_AGAIN}), then run this again; `gpu-box doctor` checks the clock.",
    ),
    *(
        Refusal(  # EngineerBetter/control-tower#51, aws/aws-cli#6676
            codes=codes,
            words=words,
            kind=CredentialsError,
            what="this computer's clock is wrong",
            remedy="Synchronize it: `sudo timedatectl set-ntp true`. `gpu-box doctor` checks it.",
        )
        for codes, words in (
            ("SignatureDoesNotMatch|InvalidSignatureException", "Signature (expired|not yet current)"),
            ("InvalidSecurity.RequestHasExpired", ""),
        )
    ),
    Refusal(  # a space after the key: aws/aws-sdk-go#289
        codes="(MissingAuthenticationToken|IncompleteSignature)(Exception)?",
        kind=CredentialsError,
        what="AWS found no whole signature in the request",
        remedy="Check your keys for spaces and line ends (~/.aws/credentials, AWS_ variables). If they are "
        "right, a proxy removes or changes the Authorization header.",
    ),
)

_ACCOUNT = (
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
    Refusal(  # webiny/webiny-js#1517, awslabs/fargatecli#38
        codes="OptInRequired|SubscriptionRequiredException",
        what="your AWS account is not signed up for this service, or not active yet",
        remedy="Finish the sign-up in the AWS console (payment method, phone number); a new account can take "
        f"hours to become active. If it takes longer, write to AWS Support ({SUPPORT}).",
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
        f"longer, write to AWS Support ({SUPPORT}).",
    ),
    *(
        Refusal(
            codes=codes,
            words=words,
            what="AWS has blocked your account",
            remedy=f"Only AWS Support can unblock it ({SUPPORT}); the Billing console shows unpaid bills.",
        )
        for codes, words in (
            (r"Blocked|Account(Disabled|Suspended)\w*", ""),
            (".*", rf"(?i)account( \d+)? {_NOT_ACTIVE}"),
        )
    ),
)

# The policy types are from "Troubleshoot access denied error messages".
_PERMISSIONS = (
    Refusal(
        # EC2 User Guide, "Service-linked role for Spot Instance requests": before a request by the API the
        # role must exist; EC2 makes it for a user with this permission.
        codes="AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        kind=PermissionDenied,
        what="your AWS user may not do this (iam:CreateServiceLinkedRole, for the first spot instance)",
        remedy="Ask an administrator to run this once for the account: `aws iam create-service-linked-role "
        "--aws-service-name spot.amazonaws.com`. `market: on-demand` does not need it; of our policies, only "
        "`gpu-box policy --boundary` gives the permission.",
    ),
    Refusal(
        # AWS Managed Policy Reference, AWSCompromisedKeyQuarantineV2 to V4.
        codes=_DENIED,
        words="AWSCompromisedKeyQuarantine",
        kind=CredentialsError,
        what="AWS has found your access key in public, and has blocked what a thief would do with it",
        remedy="Replace the key: an administrator creates another one, and deletes this one (IAM console, "
        f"Security credentials). AWS's support case ({SUPPORT}) says how the block ends.",
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
        words=f"{_ACTION}.*explicit deny in an? {_MFA_POLICY}",
        kind=PermissionDenied,
        what="the policy {name} forbids {action} on {resource}, probably to all who sign in without MFA",
        remedy=f"Sign in with MFA: {_WITH_MFA}.",
    ),
    Refusal(
        # Without MFA: aws/aws-cdk#27622
        codes=_DENIED,
        words=f"{_ACTION}.*explicit deny in an? (?P<policy>identity-based policy)",
        kind=PermissionDenied,
        what="an explicit deny ({policy}) forbids {action} on {resource}",
        remedy=f"Often it demands MFA: then sign in with it, {_WITH_MFA}. Or it demands a region, a type or "
        "tags: ask your AWS administrators; what `gpu-box policy` prints does not override it.",
    ),
    Refusal(
        codes=_DENIED,
        words=f"{_ACTION}.*explicit deny in an? (?P<policy>resource-based policy)",
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
)

ACCESS = (*_SIGN_IN, *_CREDENTIALS, *_ACCOUNT, *_PERMISSIONS)
