"""AWS's errors, said again so that the one who types knows what to do. No vendor exception passes this."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions

from gpu_box.errors import (
    CapacityError,
    CloudError,
    CloudUnreachable,
    CredentialsError,
    InputError,
    PermissionDenied,
    QuotaError,
)

# Codes after which another zone or type may still do (AWS: "Error codes for the Amazon EC2 API"). Of Reserved
# Instances there are two: a client's error, and a server's in the singular.
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
QUOTA_CODES = frozenset(
    {"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VolumeLimitExceeded"}
)
DENIED_CODES = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",  # the same, of JSON services
        "OptInRequired",
    }
)


_NETWORK = "Check your network (and proxy) and run this again: it goes on where it was."


def code_of(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """doing: what was being done, for the line that the user reads ("launching the instance")."""
    try:
        yield
    except exceptions.ClientError as error:
        raise _from_client_error(error, doing) from error
    except exceptions.TokenRetrievalError as error:
        raise CredentialsError(
            "your AWS sign-in has expired", where=doing, remedy="Run `aws sso login`, then this again."
        ) from error
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
    ) as error:
        raise CredentialsError(
            "no AWS credentials found",
            remedy="Run `aws configure` (or `aws sso login`); without an account, try `gpu-box --local up`.",
        ) from error
    except exceptions.ProfileNotFound as error:
        raise InputError(
            str(error).rstrip("."),
            where="profile",
            remedy="`aws configure list-profiles` shows those you have.",
        ) from error
    except exceptions.NoRegionError as error:
        raise InputError(
            "no AWS region is set",
            where="region",
            remedy="Set `region:` in config.yaml (`gpu-box init` does), or AWS_DEFAULT_REGION.",
        ) from error
    except exceptions.ProxyConnectionError as error:
        raise _from_proxy(error, doing) from error
    except exceptions.SSLError as error:
        raise _from_tls(error, doing) from error
    except (
        exceptions.EndpointConnectionError,
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
    ) as error:
        raise CloudUnreachable(
            "AWS does not answer",
            where=doing,
            remedy=_NETWORK,
        ) from error
    except exceptions.BotoCoreError as error:
        raise CloudError(f"AWS's SDK failed: {error}", where=doing) from error


def _from_proxy(error: exceptions.ProxyConnectionError, doing: str) -> CloudError:
    reason = str(error.kwargs.get("error") or error)
    remedy = "HTTPS_PROXY sets it: correct it, or unset it where AWS is reached without one."
    if "407" in reason:
        remedy = "It wants a name and password: `export HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT`."
    said = re.search(r"Tunnel connection failed: ([^'\")]+)", reason)
    what = f"refuses ({said[1]})" if said else "does not answer"
    return CloudUnreachable(f"the proxy {error.kwargs['proxy_url']} {what}", where=doing, remedy=remedy)


def _from_tls(error: exceptions.SSLError, doing: str) -> CloudError:
    reason = str(error.kwargs.get("error") or error)
    if "not yet valid" in reason or "has expired" in reason:
        return CloudUnreachable(
            "the certificate of AWS's answer is not valid at the time that this computer's clock shows",
            where=doing,
            remedy="Set the clock by the network: `sudo timedatectl set-ntp true`.",
        )
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle and not os.access(bundle, os.R_OK):
        return CloudUnreachable(
            f"AWS_CA_BUNDLE names {bundle}, which cannot be read",
            where=doing,
            remedy="Correct it, or unset it where no proxy of a company is in between.",
        )
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return CloudUnreachable(f"no TLS connection to AWS: {reason}", where=doing, remedy=_NETWORK)
    which = f", nor by AWS_CA_BUNDLE ({bundle})" if bundle else ""
    return CloudUnreachable(
        f"AWS's answer is signed by nobody that this computer trusts{which}: "
        "a company's proxy opens what is sent, and signs it itself",
        where=doing,
        remedy="`export AWS_CA_BUNDLE=FILE`: your company's certificates, in PEM.",
    )


def _missing_action(message: str) -> str | None:
    """Of "... is not authorized to perform: iam:PassRole on resource ...": not always the call's own name."""
    found = re.search(r"perform: ([a-z0-9-]+:[A-Za-z]+)", message)
    return found[1] if found else None


def _from_client_error(error: exceptions.ClientError, doing: str) -> CloudError:
    code = code_of(error)
    message = str(error.response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    if code in EXPIRED_CODES:
        return CredentialsError(
            "your AWS credentials have expired",
            code=code,
            where=doing,
            remedy="Sign in again (`aws sso login`, or fresh keys), then run this again.",
        )
    if code in CREDENTIAL_CODES:
        return CredentialsError(
            f"AWS does not accept these credentials ({code})",
            code=code,
            where=doing,
            remedy="`aws sts get-caller-identity` shows whose they are; check them, and this clock.",
        )
    if code in DENIED_CODES:
        return PermissionDenied(
            f"your AWS user may not do this ({_missing_action(message) or error.operation_name})",
            code=code,
            where=doing,
            remedy="Ask for the permissions in infra/operator-policy.json (`gpu-box policy` prints them).",
        )
    if code == "AuthFailure.ServiceLinkedRoleCreationNotPermitted":
        # The account's first request for spot makes a role of EC2's own, as the one who asks.
        return PermissionDenied(
            "your AWS user may not do this (iam:CreateServiceLinkedRole, for the first spot instance)",
            code=code,
            where=doing,
            remedy="Ask for the permissions in infra/operator-policy.json (`gpu-box policy` prints them), or "
            "have somebody run `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`.",
        )
    if code in CAPACITY_CODES:
        return CapacityError(f"AWS has none there now ({code}: {message})", code=code, where=doing)
    if code in QUOTA_CODES:
        return QuotaError(
            f"your account's quota does not allow it ({code}: {message})",
            code=code,
            where=doing,
            remedy="Ask for more in the Service Quotas console (EC2, 'Running On-Demand ... instances'); "
            "new accounts start at 0 vCPUs for GPUs.",
        )
    return CloudError(f"AWS refused {error.operation_name}: {message} ({code})", code=code, where=doing)
