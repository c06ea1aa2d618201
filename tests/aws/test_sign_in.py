"""Every source of AWS credentials works as with the `aws` client, and each failure has a remedy.

Formats: AWS SDKs and Tools Reference Guide (IAM Identity Center, login, process, assume role and web identity
credential providers) and botocore, which reads them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.utils
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.doctor import check_caller
from gpu_box.aws.errors import translated
from gpu_box.aws.sign_in import own_words
from gpu_box.cli.main import main
from gpu_box.config.model import Config
from gpu_box.errors import CloudUnreachable, CredentialsError, GpuBoxError, InputError

from .sign_in_services import BEFORE, KEYS, LATER, SECRET, TOKEN, Services, serving

ROLE = "arn:aws:iam::123456789012:role/gpu"
SERIAL = "arn:aws:iam::123456789012:mfa/ada"
SESSION = "arn:aws:iam::123456789012:user/ada"
START = "https://lab.awsapps.com/start"
OLD_SSO = (
    f"sso_start_url = {START}\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = gpu\n"
)
NEW_SSO = "sso_session = lab\nsso_account_id = 123456789012\nsso_role_name = gpu\n"
LAB = f"\n[sso-session lab]\nsso_start_url = {START}\nsso_region = us-east-1\n"
MFA = f"role_arn = {ROLE}\nsource_profile = base\nmfa_serial = {SERIAL}\n"
BASE = f"\n[profile base]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {SECRET}\n"


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    with serving() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield running


def write(path: str, text: str) -> Path:
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def profile(settings: str, more: str = "", *, name: str = "work") -> None:
    heading = f"profile {name}" if name != "default" else name
    write("~/.aws/config", f"[{heading}]\nregion = us-east-1\n{settings}{more}")


def who(*, ask: Callable[[str], str | None] | None = None, name: str | None = "work") -> str:
    with translated("reading your identity"):
        answer = Cloud(Config(profile=name), ask_code=ask).client("sts").get_caller_identity()
    return str(answer["Arn"])


def refusal(*, ask: Callable[[str], str | None] | None = None, name: str | None = "work") -> GpuBoxError:
    """The user's view: one line, with a remedy and without secrets."""
    with pytest.raises(GpuBoxError) as raised:
        who(ask=ask, name=name)
    line = str(raised.value)
    assert "\n" not in line and raised.value.remedy
    assert SECRET not in line and TOKEN not in line and KEYS["accessKeyId"] not in line
    assert raised.value.__cause__ is None or SECRET not in str(raised.value.__cause__)
    return raised.value


def sso_token(key: str, expires: str, **more: str) -> Path:
    token = {"startUrl": START, "region": "us-east-1", "accessToken": TOKEN, "expiresAt": expires, **more}
    name = hashlib.sha1(key.encode()).hexdigest()
    # botocore computed the folder at import.
    folder = botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR
    return write(f"{folder}/{name}.json", json.dumps(token))


@pytest.fixture(autouse=True)
def _own_sso_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from botocore import tokens

    for provider in (botocore.credentials.SSOProvider, tokens.SSOTokenProvider):
        monkeypatch.setattr(provider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path / "sso"))


def login_token(expires: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    token = {
        "accessToken": {**KEYS, "accountId": "123456789012", "expiresAt": expires},
        "tokenType": "aws_sigv4",
        "refreshToken": TOKEN,
        "clientId": "arn:aws:signin:::devtools/same-device",
        "dpopKey": key.decode(),
    }
    name = hashlib.sha256(SESSION.encode()).hexdigest()
    return write(f"~/.aws/login/cache/{name}.json", json.dumps(token))


# --- IAM Identity Center ---------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "key"), [(OLD_SSO, START), (NEW_SSO + LAB, "lab")], ids=["old", "new"])
def test_who_has_signed_in_by_identity_center_is_signed_in_here(
    services: Services, settings: str, key: str
) -> None:
    profile(settings)
    sso_token(key, LATER)
    assert who() == "arn:aws:iam::123456789012:user/ada"
    assert who() == "arn:aws:iam::123456789012:user/ada"
    assert services.asked.count("GetRoleCredentials") == 1  # stored, as the `aws` client stores it


@pytest.mark.parametrize(("settings", "key"), [(OLD_SSO, START), (NEW_SSO + LAB, "lab")], ids=["old", "new"])
@pytest.mark.parametrize("expires", [None, BEFORE, "damaged", LATER])
def test_identity_center_without_a_valid_token(
    services: Services, settings: str, key: str, expires: str | None
) -> None:
    profile(settings)
    services.refuse["GetRoleCredentials"] = (
        401,
        "UnauthorizedException",
        "Session token not found or invalid",
    )
    if expires:
        file = sso_token(key, expires)
        if expires == "damaged":
            file.write_text('{"accessToken": "')
    raised = refusal()
    assert isinstance(raised, CredentialsError)
    assert raised.what in {
        None: ("you are not signed in",),
        "damaged": ("the cache of your sign-in is damaged",),
    }.get(expires, ("your AWS sign-in has expired",))
    assert raised.remedy == "Run `aws sso login --profile work`, then run this again."


def test_a_token_of_identity_center_renews_itself(services: Services) -> None:
    profile(NEW_SSO + LAB)
    sso_token(
        "lab", BEFORE, refreshToken=TOKEN, clientId="c", clientSecret=SECRET, registrationExpiresAt=LATER
    )
    who()
    assert services.asked == ["CreateToken", "GetRoleCredentials", "GetCallerIdentity"]


def test_a_role_that_identity_center_does_not_give(services: Services) -> None:
    profile(OLD_SSO)
    sso_token(START, LATER)
    services.refuse["GetRoleCredentials"] = (403, "ForbiddenException", "No access")
    assert "sso_role_name" in str(refusal())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (NEW_SSO, 'sso-session does not exist: "lab"'),
        ("sso_account_id = 1\nsso_role_name = gpu\n", "missing required configuration: sso_start_url"),
    ],
)
def test_a_profile_of_identity_center_that_is_not_whole(settings: str, words: str) -> None:
    profile(settings)
    raised = refusal()
    assert words in raised.what and "~/.aws/config" in str(raised.remedy)


def test_the_profile_to_sign_in_by_is_the_one_that_a_role_names(services: Services) -> None:
    profile(f"role_arn = {ROLE}\nsource_profile = people\n", f"\n[profile people]\n{OLD_SSO}")
    assert "`aws sso login --profile people`" in str(refusal())


# --- aws login --------------------------------------------------------------------------------------


def needs_awscrt() -> None:
    pytest.importorskip("awscrt", reason="needs awscrt (the extra `login`)")


def test_who_has_signed_in_by_aws_login_is_signed_in_here(services: Services) -> None:
    needs_awscrt()
    profile(f"login_session = {SESSION}\n")
    login_token(LATER)
    who()
    assert services.asked == ["GetCallerIdentity"]


def test_a_sign_in_by_aws_login_renews_itself(services: Services) -> None:
    needs_awscrt()
    profile(f"login_session = {SESSION}\n")
    login_token(BEFORE)
    who()
    assert services.asked == ["CreateOAuth2Token", "GetCallerIdentity"]


@pytest.mark.parametrize(
    ("why", "pieces"),
    [
        ("TOKEN_EXPIRED", ("has expired", "`aws login --profile work`")),
        ("USER_CREDENTIALS_CHANGED", ("has expired", "`aws login --profile work`")),
        ("INSUFFICIENT_PERMISSIONS", ("signin:CreateOAuth2Token", "SignInLocalDevelopmentAccess")),
    ],
)
def test_a_sign_in_by_aws_login_that_aws_does_not_renew(
    services: Services, why: str, pieces: tuple[str, ...]
) -> None:
    needs_awscrt()
    profile(f"login_session = {SESSION}\n")
    login_token(BEFORE)
    services.refuse["CreateOAuth2Token"] = (400, "AccessDeniedException", why)
    line = str(refusal())
    for piece in pieces:
        assert piece in line


@pytest.mark.parametrize("content", [None, "{}", '{"accessToken"', "[]", '{"accessToken": 1, "dpopKey": 2}'])
def test_aws_login_without_a_session(content: str | None) -> None:
    needs_awscrt()
    profile(f"login_session = {SESSION}\n")
    if content is not None:
        login_token(LATER).write_text(content)
    assert "`aws login --profile work`" in str(refusal())


def test_aws_login_without_awscrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.credentials, "EC", None)
    profile(f"login_session = {SESSION}\n", name="default")
    login_token(LATER)
    raised = refusal(name=None)
    assert "`pip install 'botocore[crt]'`" in str(raised.remedy)


# --- a role with an MFA device ----------------------------------------------------------------------


def test_one_mfa_code_serves_every_command_of_an_hour_and_the_aws_client(services: Services) -> None:
    profile(MFA, BASE)
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return "123456"

    cloud = Cloud(Config(profile="work"), ask_code=ask)
    side_by_side(*[cloud.client("sts").get_caller_identity] * 8)
    assert who() == "arn:aws:iam::123456789012:user/ada"  # without a terminal
    assert len(questions) == 1 and SERIAL in questions[0]
    assert services.codes == ["123456"]
    (kept,) = Path("~/.aws/cli/cache").expanduser().iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    # The `aws` client's name for it.
    key = json.dumps({"RoleArn": ROLE, "SerialNumber": SERIAL}, sort_keys=True)
    assert kept.name == f"{hashlib.sha1(key.encode()).hexdigest()}.json"


def test_the_aws_client_s_own_session_is_used(services: Services) -> None:
    profile(MFA, BASE)
    key = hashlib.sha1(
        json.dumps({"RoleArn": ROLE, "SerialNumber": SERIAL}, sort_keys=True).encode()
    ).hexdigest()
    kept = {
        "AccessKeyId": KEYS["accessKeyId"],
        "SecretAccessKey": SECRET,
        "SessionToken": TOKEN,
        "Expiration": LATER,
    }
    file = write(f"~/.aws/cli/cache/{key}.json", json.dumps({"Credentials": kept}))
    who()
    assert services.asked == ["GetCallerIdentity"]
    file.write_text('{"Credentials": {"Acc')  # cut off
    who(ask=lambda _: "123456")
    assert services.codes == ["123456"]


def test_a_home_that_cannot_be_written_keeps_nothing_and_fails_nothing(services: Services) -> None:
    profile(MFA, BASE)
    write("~/.aws/cli", "a file")
    who(ask=lambda _: "123456")


def test_a_wrong_mfa_code_is_asked_for_once(services: Services) -> None:
    profile(MFA, BASE)
    services.refuse["AssumeRole"] = (
        403,
        "AccessDenied",
        "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
    )
    cloud = Cloud(Config(profile="work"), ask_code=lambda _: "654321")
    with pytest.raises(CredentialsError, match="does not accept the MFA code"):
        side_by_side(*[cloud.client("sts").get_caller_identity] * 8)
    assert services.codes == ["654321"]


@pytest.mark.parametrize(
    ("status", "code", "message", "said"),
    [
        (403, "AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.", "mfa_serial"),
        (400, "ValidationError", "The requested DurationSeconds exceeds the limit", "duration_seconds"),
        (403, "RegionDisabledException", "STS is not activated in this region", "`region:`"),
    ],
)
def test_a_role_that_sts_refuses_names_the_setting(
    services: Services, status: int, code: str, message: str, said: str
) -> None:
    profile(MFA, BASE)
    services.refuse["AssumeRole"] = (status, code, message)
    raised = refusal(ask=lambda _: "123456")
    assert isinstance(raised, CredentialsError) and said in str(raised.remedy)


def test_an_mfa_code_of_the_wrong_length(services: Services) -> None:
    profile(MFA, BASE)
    assert "six digits" in str(refusal(ask=lambda _: "1234"))


@pytest.mark.parametrize("ask", [None, lambda _: None])
def test_an_mfa_code_without_a_terminal(services: Services, ask: Any) -> None:
    profile(MFA, BASE)
    raised = refusal(ask=ask)
    assert "no terminal" in raised.what and "`gpu-box doctor`" in str(raised.remedy)


def test_without_a_terminal_no_command_waits_for_an_mfa_code(
    services: Services, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile(MFA, BASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setattr(os, "open", refuse_terminal(os.open))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["ls"]) == 1
    assert "no terminal to type it in" in capsys.readouterr().err


def refuse_terminal(real: Callable[..., int]) -> Callable[..., int]:
    def opened(path: Any, *args: Any, **more: Any) -> int:
        if path == "/dev/tty":
            raise OSError("no terminal")
        return real(path, *args, **more)

    return opened


# --- credential_process -----------------------------------------------------------------------------


def process(script: str) -> None:
    program = write("~/bin/vault", f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    profile(f"credential_process = {program} --password {SECRET} lab\n")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('vault: error: no such entry: lab')", "vault: error: no such entry: lab"),
        (f"import sys; sys.exit('sealed; last secret_key={SECRET} token {TOKEN}\\nLog in')", "Log in"),
        ("import sys; sys.exit(3)", "no error message"),
        ("import sys; sys.stderr.buffer.write(b'\\xff\\x1b[31m'); sys.exit(3)", "credential_process"),
        (f"print('{SECRET}')", "does not print what AWS's SDK expects"),
        (f"print('[\"{SECRET}\"]')", "does not print what AWS's SDK expects"),
        ("print('{\"Version\": 2}')", "Unsupported version '2'"),
        ('print(\'{"Version": 1, "AccessKeyId": "a"}\')', "Missing required key"),
    ],
)
def test_a_credential_process_that_fails_keeps_its_words_and_no_secret(script: str, words: str) -> None:
    process(script)
    raised = refusal()
    assert isinstance(raised, CredentialsError)
    assert words in str(raised) and "vault" in str(raised) and "by hand" in str(raised.remedy)


@pytest.mark.parametrize("command", ["/nowhere/vault lab", '"/nowhere/vault', "/etc/passwd"])
def test_a_credential_process_that_cannot_be_run(command: str) -> None:
    profile(f"credential_process = {command}\n")
    assert "credential_process" in str(refusal())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/Users/ada/Library/Python/3.11/bin/aws-vault: not found", True),
        ("arn:aws:iam::123456789012:role/DevelopersOfTheLab2026 is denied", True),
        ("token: expired", True),
        (f"key {SECRET}", False),
        (f'{{"SecretAccessKey": "{SECRET}"}}', False),
        (f"token={TOKEN}", False),
        ("password=hunter2hunter2", False),
        ("AKIAIOSFODNN7EXAMPLE", False),
        ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpM", False),
    ],
)
def test_only_secrets_are_taken_out_of_a_program_s_words(text: str, kept: bool) -> None:
    shown = own_words(text)
    assert (shown == text) is kept
    assert not any(word in shown for word in (SECRET[:20], TOKEN[:20], "hunter2", "AKIA", "SflK"))


def test_a_program_s_last_words_are_kept() -> None:
    assert own_words("x y " * 500 + "the end.").endswith("the end") and len(own_words("x y " * 500)) < 310


# --- web identity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("by_environment", [True, False])
def test_a_web_identity_token_that_is_missing(monkeypatch: pytest.MonkeyPatch, by_environment: bool) -> None:
    if by_environment:
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        raised = refusal(name=None)
    else:
        profile(f"web_identity_token_file = /nowhere/token\nrole_arn = {ROLE}\n")
        raised = refusal()
    assert isinstance(raised, CredentialsError)
    assert raised.what == "the web identity token /nowhere/token cannot be read: No such file or directory"
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in str(raised.remedy)


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "ExpiredTokenException",
            "Token expired: current date/time must be before the expiration date/time",
            "web_identity_token_file",
        ),
        (
            "InvalidIdentityToken",
            "Couldn't retrieve verification key from your identity provider",
            "from the internet",
        ),
        ("InvalidIdentityToken", "Incorrect token audience", "web_identity_token_file"),
        ("IDPRejectedClaim", "The identity provider rejected the claim", "web_identity_token_file"),
        ("IDPCommunicationError", "The identity provider could not be reached", "from the internet"),
    ],
)
def test_a_web_identity_token_that_aws_does_not_accept(
    services: Services, tmp_path: Path, code: str, message: str, said: str
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    profile(f"web_identity_token_file = {tmp_path}/token\nrole_arn = {ROLE}\n")
    services.refuse["AssumeRoleWithWebIdentity"] = (400, code, message)
    line = str(refusal())
    assert message in line and said in line


def test_a_web_identity_without_a_role(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    profile(f"web_identity_token_file = {tmp_path}/token\n")
    assert "role" in str(refusal())


# --- files and variables ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("[profile work\nregion=x", InputError, "is not valid"),
        ("\xff\xfe", InputError, "is not valid"),
        (f"[profile work]\nrole_arn = {ROLE}\n", CredentialsError, "source_profile"),
        (f"[profile work]\nrole_arn = {ROLE}\nsource_profile = none\n", CredentialsError, "none"),
        (f"[profile work]\nrole_arn = {ROLE}\ncredential_source = Moon\n", CredentialsError, "Moon"),
        (
            f"[profile work]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\nrole_arn = {ROLE}\n"
            "source_profile = work\n",
            CredentialsError,
            "loop",
        ),
        (
            "[profile work]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n",
            CredentialsError,
            "aws_secret_access_key",
        ),
        ("[profile other]\n", InputError, "work"),
    ],
)
def test_a_file_that_the_sdk_cannot_use(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: type[GpuBoxError], words: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    write("~/.aws/config", "").write_bytes(text.encode("latin-1"))
    raised = refusal()
    assert isinstance(raised, kind) and words in str(raised)


def test_half_of_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    raised = refusal(name=None)
    assert "missing: AWS_SECRET_ACCESS_KEY" in raised.what and raised.where == "environment"


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    raised = refusal(name=None)
    assert raised.what == "no AWS credentials found" and "`gpu-box --local up`" in str(raised.remedy)


def test_a_wrong_profile_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    monkeypatch.chdir(tmp_path)
    assert main(["ls"]) == 2
    assert "`aws configure list-profiles`" in capsys.readouterr().err


def test_a_variable_that_the_sdk_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    profile("aws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "garbage")
    raised = refusal()
    assert "garbage" in raised.what and "AWS_ variables" in str(raised.remedy)


def test_no_way_to_identity_center_is_no_fault_of_the_credentials(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile(OLD_SSO)
    sso_token(START, LATER)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", "http://127.0.0.1:9")
    assert isinstance(refusal(), CloudUnreachable)


def test_doctor_says_it_too(services: Services) -> None:
    profile(OLD_SSO)
    (check,) = check_caller(Cloud(Config(profile="work")))
    assert not check.ok and check.name == "credentials"
    assert check.remedy == "Run `aws sso login --profile work`, then run this again."


def test_what_the_sdk_keeps_private_is_still_there() -> None:
    """If not, aws/sign_in.py must ask for the code of an MFA device in another way."""
    assert botocore.credentials.AssumeRoleProvider(None, None, {}, "work", prompter=len)._prompter is len
    assert botocore.credentials.InstanceMetadataProvider(len)._role_fetcher is len
    assert botocore.credentials.ContainerProvider(fetcher=len)._fetcher is len
    for fetcher in (botocore.utils.InstanceMetadataFetcher(), botocore.utils.ContainerMetadataFetcher()):
        assert fetcher._session.send
