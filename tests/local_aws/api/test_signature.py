"""AWS's signatures: AWS's published test suite, and requests that its SDK signs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SdkCredentials

from local_aws.api import authentication, signature
from local_aws.api.signature import Incomplete, Request
from local_aws.credentials import Account, Credentials

# AWS's aws4_testsuite, as botocore carries it (Apache License 2.0): its signed requests.
SUITE: dict[str, str] = json.loads(Path(__file__).with_name("sigv4.json").read_text("utf-8"))
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # AWS's example, for the whole suite
KEY = SdkCredentials("AKIDEXAMPLE", SECRET)
NOW = datetime.now(UTC)


def parsed(text: str) -> Request:
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = re.sub(r"\n[ \t]+", " ", head).encode().decode("latin-1").split("\n")
    method, rest = first.split(" ", 1)
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines):
        name = name.lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    return Request(method=method, target=rest.rpartition(" ")[0], headers=headers, body=body.encode())


@pytest.mark.parametrize("name", SUITE)
def test_every_request_of_aws_s_own_suite_is_accepted_and_no_other(name: str) -> None:
    request = parsed(SUITE[name])
    signed = signature.read(request)
    assert signed is not None
    assert signature.matches(request, signed, SECRET)
    assert not signature.matches(request, signed, SECRET + "x")
    other = Request(method=request.method, target=request.target, headers=request.headers, body=b"another")
    assert not signature.matches(other, signed, SECRET)


def by_sdk(url: str, *, query: bool = False, body: bytes = b"", token: str | None = None) -> Request:
    """As botocore signs it."""
    sent = AWSRequest(
        method="POST" if body else "GET", url=url, data=body, headers={"Host": "127.0.0.1:4566"}
    )
    key = SdkCredentials("AKIDEXAMPLE", SECRET, token)
    (SigV4QueryAuth(key, "sts", "eu-west-1", 60) if query else SigV4Auth(key, "sts", "eu-west-1")).add_auth(
        sent
    )
    headers = {name.lower(): value for name, value in sent.headers.items()}
    target = "/" + sent.url.split("/", 3)[3]
    return Request(method=sent.method, target=target, headers=headers, body=body)


@pytest.mark.parametrize(
    "request_",
    [
        by_sdk("http://127.0.0.1:4566/schedules/a%20b%2Fc?MaxResults=3&NamePrefix=x%2By&b=&a=~"),
        by_sdk("http://127.0.0.1:4566/", body=b"Action=GetCallerIdentity"),
        by_sdk("http://127.0.0.1:4566/?Action=GetCallerIdentity&Version=2011-06-15", query=True),
        by_sdk("http://127.0.0.1:4566/?Action=GetCallerIdentity", query=True, token="to/ken+=="),
    ],
    ids=["path and query", "form", "presigned", "presigned with a token"],
)
def test_what_the_sdk_signs_is_accepted(request_: Request) -> None:
    signed = signature.read(request_)
    assert signed is not None
    assert (signed.service, signed.region, signed.key_id) == ("sts", "eu-west-1", "AKIDEXAMPLE")
    assert signature.matches(request_, signed, SECRET)
    assert not signature.matches(request_, signed, "another")
    assert signature.expired(signed, signed.date) is None


def test_what_we_sign_is_what_the_sdk_signs() -> None:
    theirs = by_sdk("http://127.0.0.1:4566/embedded/status")
    signed = signature.read(theirs)
    assert signed is not None
    bare = Request(method="GET", target="/embedded/status", headers={"host": "127.0.0.1:4566"})
    ours = signature.sign(bare, Credentials("AKIDEXAMPLE", SECRET), service="gpu-box", now=signed.date)
    sdk = AWSRequest(method="GET", url="http://127.0.0.1:4566/embedded/status", headers=dict(bare.headers))
    auth = SigV4Auth(KEY, "gpu-box", "us-east-1")
    sdk.context["timestamp"] = ours["x-amz-date"]
    sdk.headers["X-Amz-Date"] = ours["x-amz-date"]
    assert ours["authorization"].endswith(
        auth.signature(auth.string_to_sign(sdk, auth.canonical_request(sdk)), sdk)
    )


@pytest.mark.parametrize(("minutes", "late"), [(-16, True), (-14, False), (14, False), (16, True)])
def test_a_signature_holds_for_a_quarter_of_an_hour(minutes: int, late: bool) -> None:
    signed = signature.read(by_sdk("http://127.0.0.1:4566/"))
    assert signed is not None
    said = signature.expired(signed, signed.date - timedelta(minutes=minutes))
    assert (said is not None) is late


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("SignedHeaders=", "Headers="),
        ("/aws4_request", ""),
        ("host;", ""),
        (";x-amz-date", ""),
        (r"AKIDEXAMPLE/\d{8}", "AKIDEXAMPLE/20200101"),
        ("us-east-1|eu-west-1", "\u20ac"),
    ],
)
def test_half_a_signature_is_none(was: str, becomes: str) -> None:
    whole = by_sdk("http://127.0.0.1:4566/")
    broken = re.sub(was, becomes, whole.headers["authorization"])
    assert broken != whole.headers["authorization"]
    with pytest.raises(Incomplete):
        signature.read(Request(method="GET", target="/", headers={**whole.headers, "authorization": broken}))


@pytest.mark.parametrize("header", ["x-amz-target", "x-amz-content-sha256"])
def test_a_header_that_changes_the_meaning_must_be_signed(header: str) -> None:
    whole = by_sdk("http://127.0.0.1:4566/")
    with pytest.raises(Incomplete, match=header):
        signature.read(Request(method="GET", target="/", headers={**whole.headers, header: "x"}))


@pytest.mark.parametrize(("minutes", "refused"), [(1, False), (-1, True)])
def test_temporary_credentials_end_with_their_session(
    minutes: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = by_sdk("http://127.0.0.1:4566/", token="t")
    signed = signature.read(request)
    assert signed is not None
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    key = authentication._Key(secret=SECRET, token="t", until=until)
    monkeypatch.setattr(authentication, "_find", lambda *_: key)
    account = Account(owner=Credentials("o", "o"), operator=Credentials("p", "p"))
    assert (authentication.unproven(request, signed, account) is not None) is refused


@pytest.mark.parametrize("seconds", ["0", "604801", "9999999", "-1", "many"])
def test_a_presigned_request_lasts_a_week_at_most(seconds: str) -> None:
    week = by_sdk("http://127.0.0.1:4566/?Action=GetCallerIdentity", query=True)
    for lasts, right in (("604800", True), (seconds, False)):
        target = week.target.replace("X-Amz-Expires=60", f"X-Amz-Expires={lasts}")
        changed = Request(method="GET", target=target, headers=week.headers)
        if right:
            assert signature.read(changed) is not None
        else:
            with pytest.raises(Incomplete, match="X-Amz-Expires"):
                signature.read(changed)
