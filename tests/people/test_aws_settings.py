"""The user's settings for AWS's SDK as people have them: used, or one line with what is wrong and where."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.auth
import botocore.crt.auth
import pytest

from gpu_box.aws import clock
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.config.model import Config
from gpu_box.errors import CloudUnreachable, CredentialsError, GpuBoxError, InputError


@pytest.fixture
def keys(embedded_exports: dict[str, str], monkeypatch: pytest.MonkeyPatch, _own_home: Path) -> str:
    """Two lines for a file; the embedded cloud is AWS."""
    (_own_home / ".aws").mkdir()
    monkeypatch.setenv("AWS_ENDPOINT_URL", embedded_exports["AWS_ENDPOINT_URL"])
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return "".join(f"{name.lower()} = {embedded_exports[name]}\n" for name in names)


def write(name: str, content: str | bytes) -> None:
    path = Path.home() / ".aws" / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def who(profile: str | None = None, *, region: str | None = "us-east-1", service: str = "sts") -> str:
    """Who I am in AWS, or what gpu-box says instead."""
    cloud = Cloud(Config(profile=profile, region=region))
    with translated("reading your identity"):
        if service == "ec2":
            cloud.ec2.describe_instances()
        cloud.client("sts").get_caller_identity()
    return cloud.region


def refusal(kind: type[GpuBoxError], profile: str | None = None, *, service: str = "sts") -> str:
    with pytest.raises(kind) as raised:
        who(profile, service=service)
    assert raised.value.remedy and "\n" not in str(raised.value)
    return str(raised.value)


# aws-sdk-js#489, aws-extender-cli PR 3: blanks at the ends of lines, Windows' line ends
@pytest.mark.parametrize("end", ["\r\n", "\r", " \t\n", "\n\n", "\N{NO-BREAK SPACE}\n"])
def test_line_ends_of_any_kind_are_read(keys: str, end: str) -> None:
    write("credentials", f"[default]\n{keys}".replace("\n", end))
    write("config", "[default]\nregion = us-east-1\n".replace("\n", end.replace("\N{NO-BREAK SPACE}", "")))
    assert who(region=None) == "us-east-1"


# aws-cli#3419, aws-cli#5101, awslogs#367, boto3#253: "Unable to parse config file"
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xef\xbb\xbf[default]\nregion = us-east-1\n", "begins with a byte order mark"),
        ("[default]\nregion = us-east-1\n".encode("utf-16"), "is UTF-16"),
        (b"[default]\n# Andr\xe9\nregion = us-east-1\n", "line 2 is not UTF-8"),
        (b"aws_secret_access_key = hidden\n", "line 1 stands before any section"),
        (b"[default]\nregion = a\nregion = b\n", "line 3 sets region of [default] again"),
        (b"[default]\nregion = a\n\n[default]\n", "line 4 begins [default] again"),
        (b"[default]\naws_secret_access_key hidden\n", "line 2 is no `key = value`"),
        (b"[default]\ns3 =\n  hidden\n", "an indented line in it is no `key = value`"),
    ],
)
@pytest.mark.parametrize("name", ["config", "credentials"])
def test_a_file_that_cannot_be_read_is_named_with_its_line(
    keys: str, name: str, content: bytes, why: str
) -> None:
    write(name, content)
    said = refusal(InputError)
    assert f".aws/{name} is not valid for AWS's SDK" in said and why in said
    assert "hidden" not in said


# botocore#2001, aws-cli#5755, koding#10091: keys as they come out of a clipboard, a .csv, a .env
@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("", "\r", "ends with a line break"),
        ("", "\n", "ends with a line break"),
        ('"', '"', "is in quotes"),
        ("'", "'", "is in quotes"),
        (" ", "", "has a blank in it"),
        ("", "\u200b", "has a character that no key has (U+200B, zero width space)"),
        ("", "\x07", "has a character that no key has (U+0007, a control character)"),
    ],
)
@pytest.mark.parametrize("part", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_key_that_brought_something_along_is_named(
    embedded_exports: dict[str, str],
    keys: str,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    before: str,
    after: str,
    why: str,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, embedded_exports[name])
    value = os.environ.get(part, "FwoGZXIvYXdzEB")
    monkeypatch.setenv(part, before + value + after)
    said = refusal(CredentialsError)
    assert said.startswith(f"{part}: ") and why in said and value not in said


def test_so_is_one_of_a_file(keys: str) -> None:
    write("credentials", "[default]\n" + keys.replace("\n", " # mine\n"))
    said = refusal(CredentialsError)
    assert said.startswith("AWS profile default: ") and "the access key ID has a blank in it" in said


# aws-cli#370, botocore#1780, aws-cli#4879, castlabs#95: "The config profile (x) could not be found"
@pytest.mark.parametrize(
    ("name", "section", "profile", "remedy"),
    [
        ("config", "[work]", "work", "Name its section in ~/.aws/config [profile work]."),
        ("credentials", "[profile work]", "work", "Name its section in ~/.aws/credentials [work], without"),
        ("config", "[profile my work]", "my work", 'its section in ~/.aws/config is [profile "my work"].'),
        ("credentials", "[ work ]", "work", "Name its section [work], without blanks at its ends."),
        ("credentials", "[Work]", "work", "Did you mean Work?"),
    ],
)
def test_a_profile_that_is_there_under_another_section_is_found(
    keys: str, name: str, section: str, profile: str, remedy: str
) -> None:
    write(name, f"{section}\n{keys}")
    said = refusal(InputError, profile)
    assert said.startswith(f"profile: the config profile '{profile}' could not be found. ")
    assert remedy in said


def test_so_is_a_source_profile(keys: str) -> None:
    role = "role_arn = arn:aws:iam::123456789012:role/gpu"
    write("config", f"[profile work]\n{role}\nsource_profile = base\n[base]\n{keys}")
    assert "Name its section in ~/.aws/config [profile base]." in refusal(CredentialsError, "work")


def test_without_a_default_profile_the_others_are_named(keys: str) -> None:
    write("credentials", f"[Default]\n{keys}")
    assert "there is no profile `default`, but Default" in refusal(CredentialsError)


def test_a_credentials_file_that_is_not_there_is_named(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/keys")
    assert "AWS_SHARED_CREDENTIALS_FILE names /nowhere/keys, which is not there" in refusal(CredentialsError)


# awscli-login#35
@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_an_empty_profile_in_the_environment_names_the_variable(
    keys: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "")
    assert refusal(InputError).startswith(f"{variable}: ")


# boto3#3620, granted#457: only AWS_REGION is set
def test_aws_region_chooses_the_region_as_it_does_for_the_aws_client(
    keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("credentials", f"[default]\n{keys}")
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert who(region=None) == "eu-west-2"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert who(region=None) == "eu-west-2"
    assert who(region="us-east-1") == "us-east-1"


# aws-cli#899, boto3#4209: an address without its scheme, or with more than an address
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:9",
        " http://127.0.0.1:9 ",
        "http://127.0.0.1:port",
        "http://",
        "http://ada:hunter2@host:port",
    ],
)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_an_endpoint_that_is_no_address(
    keys: str, monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    write("credentials", f"[default]\n{keys}")
    monkeypatch.setenv(variable, address)
    said = refusal(InputError)
    shown = address.replace("ada:hunter2@", "")
    assert said.startswith(f"{variable}: {shown!r} is no address of AWS's API")


# localstack#8066: left from another tool that has ended
def test_an_endpoint_of_a_server_that_has_ended_is_named(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write("credentials", f"[default]\n{keys}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://ada:hunter2@127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    said = refusal(CloudUnreachable)
    assert "http://127.0.0.1:9 does not answer, which AWS_ENDPOINT_URL sets in AWS's place" in said


# botocore#2731, botocore PR 3751, Zappa#2140
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("bundle", "why"),
    [
        ("missing.pem", "cannot be read"),
        (".", "is a folder, not a file"),
        ("empty.pem", "has no certificate in PEM"),
        ("text.pem", "has no certificate in PEM"),
    ],
)
def test_a_bundle_of_certificates_that_is_none(
    keys: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, bundle: str, why: str
) -> None:
    write("credentials", f"[default]\n{keys}")
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("hello\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"].replace("http:", "https:"))
    monkeypatch.setenv(variable, str(tmp_path / bundle))
    assert f"{variable} names {tmp_path / bundle}, which {why}" in refusal(CloudUnreachable)


def test_an_empty_bundle_of_certificates(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write("credentials", f"[default]\n{keys}")
    monkeypatch.setenv("AWS_CA_BUNDLE", "")
    assert "AWS_CA_BUNDLE" in refusal(CredentialsError)


# ansible PR 41472, httpx#2639, liblistenbrainz#5: proxies as people write them
@pytest.mark.parametrize(
    ("proxy", "why"),
    [
        ("127.0.0.1:9", "the proxy http://127.0.0.1:9 does not answer"),
        ("http://127.0.0.1:port", "HTTP_PROXY is no proxy's address"),
        ("http://[::1:9", "HTTP_PROXY is no proxy's address"),
        ("socks5://127.0.0.1:9", "HTTP_PROXY names a proxy of the kind socks5, which AWS's SDK does not use"),
    ],
)
def test_a_proxy_that_is_none(keys: str, monkeypatch: pytest.MonkeyPatch, proxy: str, why: str) -> None:
    write("credentials", f"[default]\n{keys}")
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert why in refusal(CloudUnreachable)


# boto3#3179 and relatives: other values of settings that the SDK knows
@pytest.mark.parametrize(
    "variable",
    ["AWS_DEFAULTS_MODE", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_REQUEST_CHECKSUM_CALCULATION"],
)
def test_a_setting_of_the_sdk_with_an_unknown_value(
    keys: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    write("credentials", f"[default]\n{keys}")
    monkeypatch.setenv(variable, "unheard-of")
    assert "unheard-of" in refusal(InputError)


# boto3#1252, aws-sdk-java#519, boot2docker#469, aws-sdk-rust#1033: one that slept
@pytest.mark.parametrize("service", ["sts", "ec2"])
@pytest.mark.parametrize(("hours", "which"), [(-2, "behind"), (3, "ahead of")])
def test_a_wrong_clock_is_named_with_how_much(
    keys: str, monkeypatch: pytest.MonkeyPatch, service: str, hours: int, which: str
) -> None:
    off = timedelta(hours=hours, minutes=5 if hours > 0 else -5)

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + off

    write("credentials", f"[default]\n{keys}")
    for module in (botocore.auth, botocore.crt.auth):
        monkeypatch.setattr(
            module, "get_current_datetime", lambda *_, **__: (datetime.now(UTC) + off).replace(tzinfo=None)
        )
    monkeypatch.setattr(clock, "datetime", Wrong)
    said = refusal(CredentialsError, service=service)
    assert re.search(
        f"this computer's clock is {abs(hours)} h [0-9]+ min {which} AWS's, so AWS refuses", said
    )
    assert "`sudo timedatectl set-ntp true`" in said
