"""Checks who signed a call: looks up its access key and makes the signature again with that key's secret."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from local_aws.api import signature
from local_aws.api.errors import QUERY_SERVICES
from local_aws.api.signature import Request, Signed
from local_aws.credentials import OWN_SERVICE, Account, Credentials

_NO_MATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)
Refusal = tuple[str, str, int]  # AWS's code and message, HTTP status


@dataclass(frozen=True, kw_only=True)
class _Key:
    secret: str
    token: str = ""
    until: datetime | None = None  # aware, UTC


def is_owner(request: Request, signed: Signed | None, owner: Credentials) -> bool:
    return (
        signed is not None
        and (signed.key_id, signed.service) == (owner.key_id, OWN_SERVICE)
        and signature.matches(request, signed, owner.secret)
        and signature.expired(signed, datetime.now(UTC)) is None
    )


def unproven(request: Request, signed: Signed, account: Account) -> Refusal | None:
    """AWS's refusal of a request whose signature is wrong or expired; None for a valid one."""
    key = _find(signed.key_id, account)
    if key is None or not hmac.compare_digest(key.token.encode(), signed.token.encode("latin-1", "replace")):
        return stranger(signed.service)
    now = datetime.now(UTC)
    if key.until is not None and key.until < now:
        return _expired_token(signed.service)
    # In this order: the answer must not reveal whether the signature would have been valid.
    if why := signature.expired(signed, now):
        return _refusal(signed.service, "RequestExpired", "Request has expired.", 400, why)
    if not signature.matches(request, signed, key.secret):
        return _refusal(signed.service, *_ec2_stranger(), _NO_MATCH)
    return None


def stranger(service: str) -> Refusal:
    """The refusal of an access key that this cloud did not issue, and of an unknown region."""
    if service == "ec2":
        return _ec2_stranger()
    what = "The security token included in the request is invalid."
    if service in QUERY_SERVICES:
        return "InvalidClientTokenId", what, 403
    return "UnrecognizedClientException", what, _json_status(service)


def incomplete(service: str, why: str) -> Refusal:
    return ("IncompleteSignature" if service in QUERY_SERVICES else "IncompleteSignatureException"), why, 400


def unsigned(request: Request) -> Refusal:
    """The refusal of a request without a signature. Its form decides the error format."""
    if "x-amz-target" in request.headers:
        return "MissingAuthenticationTokenException", "Missing Authentication Token", 400
    return "MissingAuthenticationToken", "Request is missing Authentication Token", 403


def _ec2_stranger() -> Refusal:
    return "AuthFailure", "AWS was not able to validate the provided access credentials", 401


def _refusal(service: str, ec2_code: str, ec2_what: str, ec2_status: int, what: str) -> Refusal:
    """EC2 has error codes of its own; the other query services share one, and JSON services another."""
    if service == "ec2":
        return ec2_code, ec2_what, ec2_status
    if service in QUERY_SERVICES:
        return "SignatureDoesNotMatch", what, 403
    return "InvalidSignatureException", what, _json_status(service)


def _expired_token(service: str) -> Refusal:
    if service == "ec2":
        return "RequestExpired", "Request has expired.", 400
    what = "The security token included in the request is expired"
    if service in QUERY_SERVICES:
        return "ExpiredToken", what, 403
    return "ExpiredTokenException", what, _json_status(service)


def _json_status(service: str) -> int:
    return 403 if service == "scheduler" else 400  # the one REST service here


def _find(key_id: str, account: Account) -> _Key | None:
    for own in (account.owner, account.operator):
        if key_id == own.key_id:
            return _Key(secret=own.secret)
    return next(_issued(key_id), None)


def _issued(key_id: str) -> Iterator[_Key]:
    """The active keys of IAM and STS in this cloud that have this id."""
    for _, _, iam in iam_backends.iter_backends():
        for user in iam.users.values():
            for key in user.access_keys:
                if key.access_key_id == key_id and key.status == "Active":
                    yield _Key(secret=key.secret_access_key)
    for _, _, sts in sts_backends.iter_backends():
        for role in sts.assumed_roles:
            if role.access_key_id == key_id:
                yield _Key(
                    secret=role.secret_access_key, token=role.session_token, until=_aware(role.expiration)
                )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
