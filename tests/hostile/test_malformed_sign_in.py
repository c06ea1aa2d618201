"""Answers to the requests for credentials, which the SDK makes by itself, spoiled on their way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from botocore import tokens
from botocore.credentials import SSOProvider

from gpu_box.aws import answers, client
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import translated
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, CloudUnreachable, GpuBoxError

from ..aws.sign_in_services import BEFORE, LATER, SECRET, TOKEN, Services, serving
from ..aws.test_sign_in import (
    BASE,
    LAB,
    NEW_SSO,
    OLD_SSO,
    ROLE,
    SESSION,
    START,
    login_token,
    needs_awscrt,
    profile,
    sso_token,
)
from .aws_endpoint import Endpoint, hostile_endpoint
from .test_malformed_aws import QUICK, refused

SOURCES = {
    "keys": "GetCallerIdentity",
    "role": "AssumeRole",
    "web identity": "AssumeRoleWithWebIdentity",
    "sso": "GET /federation/credentials",
    "sso renewal": "POST /token",
    "login": "POST /v1/token",
    "metadata": "PUT /latest/api/token",
    "container": "GET /container",
}
ENDS = {"a drip": "is not complete after 2 s", "bytes without end": "is larger than 1 MiB"}


@pytest.fixture
def services() -> Iterator[Services]:
    with serving() as running:
        yield running


@pytest.fixture
def endpoint(services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Endpoint]:
    monkeypatch.setattr(client, "_PATIENT", (1, 2, 4, 2))
    monkeypatch.setattr(client, "_BRISK", (1, 2, 4, 2))
    monkeypatch.setattr(answers, "LARGEST", 1 << 20)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for provider in (SSOProvider, tokens.SSOTokenProvider):
        monkeypatch.setattr(provider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path / "sso"))
    with hostile_endpoint(services.url) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL", one.address)
        yield one


def sign_in(source: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The files and variables of a user whose credentials come from there."""
    (tmp_path / "token").write_text(TOKEN)
    settings = {
        "keys": BASE.partition("]")[2],
        "role": f"role_arn = {ROLE}\nsource_profile = base\n",
        "web identity": f"web_identity_token_file = {tmp_path}/token\nrole_arn = {ROLE}\n",
        "sso": OLD_SSO,
        "sso renewal": NEW_SSO + LAB,
        "login": f"login_session = {SESSION}\n",
    }
    profile(settings.get(source, ""), BASE)
    if source == "sso":
        sso_token(START, LATER)
    if source == "sso renewal":
        more = {"clientId": "c", "clientSecret": SECRET, "registrationExpiresAt": LATER}
        sso_token("lab", BEFORE, refreshToken=TOKEN, **more)
    if source == "login":
        needs_awscrt()
        login_token(BEFORE)
    if source == "metadata":
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.address)
    if source == "container":
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{endpoint.address}/container")


def who() -> None:
    with translated("reading your identity"):
        Cloud(Config(profile="work")).client("sts").get_caller_identity()


@pytest.mark.parametrize("move", ENDS)
@pytest.mark.parametrize("source", SOURCES)
def test_an_answer_without_an_end_ends_the_sign_in(
    endpoint: Endpoint, source: str, move: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sign_in(source, endpoint, monkeypatch, tmp_path)
    endpoint.spoil_operation(SOURCES[source], move)
    with pytest.raises(CloudError) as raised:
        who()
    assert endpoint.operations[-1] == SOURCES[source]
    assert ENDS[move] in str(raised.value)
    refused(raised.value)


def test_requests_side_by_side_wait_once_for_credentials_that_do_not_come(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sign_in("role", endpoint, monkeypatch, tmp_path)
    endpoint.spoil_operation("AssumeRole", "a drip")
    cloud = Cloud(Config(profile="work"))
    with pytest.raises(CloudUnreachable):
        side_by_side(*[cloud.client("sts").get_caller_identity] * 8)
    assert endpoint.operations.count("AssumeRole") <= 2
    endpoint.obey()
    cloud.client("sts").get_caller_identity()  # as a tunnel does, hours later


@pytest.mark.parametrize("source", SOURCES)
def test_a_malformed_answer_to_a_sign_in_is_one_line(
    endpoint: Endpoint, source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sign_in(source, endpoint, monkeypatch, tmp_path)
    for move in sorted({*Random(source).sample(QUICK, 8), "no text", "text that a terminal obeys"}):
        endpoint.spoil_operation(SOURCES[source], move)
        try:
            who()
        except GpuBoxError as error:
            line = str(error)
            assert "\n" not in line and len(line) < 1500, move
            assert SECRET not in line and TOKEN not in line, move
        except Exception as error:
            error.add_note(move)
            raise
