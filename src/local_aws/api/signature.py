"""AWS Signature Version 4: sign a request, and check a signature. Standard library alone.

Source: IAM User Guide, "AWS Signature Version 4 for API requests"; tests run AWS's own test suite for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

from local_aws.credentials import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME = "%Y%m%dT%H%M%SZ"
_PATH, _VALUE = "/-_.~", "-_.~"  # characters that are not percent-encoded
SKEW = timedelta(minutes=15)  # between AWS's clock and the request's date
_LONGEST_S = 7 * 24 * 3600  # X-Amz-Expires of a presigned request


class Incomplete(Exception):
    """The request has a signature, but not all of its parts."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """headers: names in lower case, the values of one name joined by commas."""

    method: str
    target: str  # path and query, as on the request line
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """The signature of a request and what it covers."""

    key_id: str
    region: str
    service: str
    date: datetime  # aware, UTC
    names: tuple[str, ...]  # the signed headers, in lower case
    signature: str
    token: str = ""  # the session token of temporary credentials
    lasts: timedelta = timedelta()  # validity of a presigned request, else zero


def read(request: Request) -> Signed | None:
    """The signature in the Authorization header or in a presigned query; None for an unsigned request.

    Raises Incomplete.
    """
    header = request.headers.get("authorization")
    query = dict(_pairs(request.target.partition("?")[2]))
    if header is not None:
        algorithm, _, rest = header.partition(" ")
        found = {name: value for name, _, value in (p.strip().partition("=") for p in rest.split(","))}
        date, token = request.headers.get("x-amz-date", ""), request.headers.get("x-amz-security-token", "")
        lasts = timedelta()
    elif "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
        found = {name.removeprefix("X-Amz-"): value for name, value in query.items()}
        algorithm, date, token = (found.get(name, "") for name in ("Algorithm", "Date", "Security-Token"))
        seconds = found.get("Expires", "")
        if not re.fullmatch("[0-9]{1,6}", seconds) or not 1 <= int(seconds) <= _LONGEST_S:
            raise Incomplete("X-Amz-Expires must be between 1 and 604800 seconds")
        lasts = timedelta(seconds=int(seconds))
    else:
        return None
    if algorithm != _ALGORITHM:
        raise Incomplete(f"Unsupported algorithm, not {_ALGORITHM}")
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not found.get(name):
            raise Incomplete(f"the request requires '{name}' parameter")
    if not (found["Credential"] + found["SignedHeaders"]).isascii():
        raise Incomplete("Credential and SignedHeaders must be ASCII")
    scope = found["Credential"].split("/")
    if len(scope) != 5 or scope[4] != "aws4_request" or scope[1] != date[:8]:
        raise Incomplete("Credential must be KEY/DATE/REGION/SERVICE/aws4_request, with the request's date")
    names = tuple(found["SignedHeaders"].split(";"))
    _require_signed(request.headers, names)
    try:
        at = datetime.strptime(date, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise Incomplete("X-Amz-Date must be in ISO 8601 basic format") from None
    return Signed(
        key_id=scope[0], region=scope[2], service=scope[3], date=at, names=names,
        signature=found["Signature"], token=token, lasts=lasts,
    )  # fmt: skip


def matches(request: Request, signed: Signed, secret: str) -> bool:
    """Whether `secret` made the signature of this request."""
    ours = _signature(request, signed, secret)
    return hmac.compare_digest(ours.encode(), signed.signature.encode("latin-1", "replace"))


def expired(signed: Signed, now: datetime) -> str | None:
    """AWS's message if the request comes too late or its date lies in the future; else None."""
    date, here = signed.date.strftime(_TIME), now.strftime(_TIME)
    if (first := now - max(SKEW, signed.lasts)) > signed.date:
        return f"Signature expired: {date} is now earlier than {first.strftime(_TIME)} ({here} - 15 min.)"
    if (last := now + SKEW) < signed.date:
        return (
            f"Signature not yet current: {date} is still later than {last.strftime(_TIME)} ({here} + 15 min.)"
        )
    return None


def sign(request: Request, credentials: Credentials, *, service: str, now: datetime) -> dict[str, str]:
    """The headers to send: those of the request, plus its date and signature."""
    headers = {**request.headers, "x-amz-date": now.strftime(_TIME)}
    signed = Signed(
        key_id=credentials.key_id, region="us-east-1", service=service, date=now,
        names=tuple(sorted(headers)), signature="",
    )  # fmt: skip
    whole = Request(method=request.method, target=request.target, headers=headers, body=request.body)
    made = _signature(whole, signed, credentials.secret)
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key_id}/{_scope(signed)}, "
        f"SignedHeaders={';'.join(signed.names)}, Signature={made}"
    )
    return headers


def _require_signed(headers: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Raise unless the host and every x-amz-* header are signed; the token may be added afterwards."""
    needed = {"host", *(name for name in headers if name.startswith("x-amz-"))} - {"x-amz-security-token"}
    if missing := needed - {*names}:
        raise Incomplete(f"these headers must be signed: {', '.join(sorted(missing))}")


def _signature(request: Request, signed: Signed, secret: str) -> str:
    text = "\n".join(
        (
            _ALGORITHM,
            signed.date.strftime(_TIME),
            _scope(signed),
            hashlib.sha256(_canonical(request, signed.names).encode("latin-1")).hexdigest(),
        )
    )
    key = f"AWS4{secret}".encode()
    for part in _scope(signed).split("/"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return hmac.digest(key, text.encode("latin-1"), "sha256").hex()


def _scope(signed: Signed) -> str:
    return f"{signed.date:%Y%m%d}/{signed.region}/{signed.service}/aws4_request"


def _canonical(request: Request, names: Iterable[str]) -> str:
    path, _, query = request.target.partition("?")
    kept = (pair for pair in _pairs(query) if pair[0] != "X-Amz-Signature")
    encoded = sorted((quote(name, safe=_VALUE), quote(value, safe=_VALUE)) for name, value in kept)
    headers = (f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    return "\n".join(
        (
            request.method,
            quote(_normal(path).encode("latin-1"), safe=_PATH),
            "&".join(f"{name}={value}" for name, value in encoded),
            "".join(headers),
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _pairs(query: str) -> list[tuple[str, str]]:
    """The decoded pairs of a query string; as in AWS, a plus is not a space."""
    raw = query.encode("latin-1").decode("utf-8", "replace").replace("+", "%2B")
    return parse_qsl(raw, keep_blank_values=True)


def _normal(path: str) -> str:
    """The path without empty segments and dots (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept[-1:] = []
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
