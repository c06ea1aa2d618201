"""The user's AWS credentials, found as the `aws` client finds them, and errors with remedies.

Configuration and cache are the `aws` client's own (AWS SDKs and Tools Reference Guide, "Authentication and
access"), so that one sign-in serves both.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore import credentials, exceptions
from botocore.utils import JSONFileCache

from gpu_box.aws import own_settings
from gpu_box.aws.answers import Bounded
from gpu_box.aws.errors import translated
from gpu_box.errors import CloudError, CredentialsError, GpuBoxError, InputError

AskCode = Callable[[str], str | None]  # the question; None: there is no terminal to ask on
_CACHE = "~/.aws/cli/cache"  # the `aws` client's: one MFA code serves both until the role's session ends
_FILES = own_settings.FILES
_MOST_WORDS = 300
_SOURCE_PROFILE = re.compile('The source_profile "([^"]+)" referenced')
_AGAIN = "then run this again"
# Raised by the SDK, besides its own errors, for malformed files and answers.
_MALFORMED = (OSError, ValueError, LookupError, TypeError, AttributeError)


class SignIn:
    """The credentials of one SDK session. Thread-safe; only one thread asks for a code."""

    def __init__(self, core: Any, *, region: str | None, ask_code: AskCode | None, answer_s: float) -> None:
        """core: botocore's session with its profile. ask_code: asks the user for an MFA code.

        answer_s: the longest time for an answer of a machine's or container's metadata.
        """
        self.core = core
        self._lock = threading.Lock()
        self._refused: GpuBoxError | None = None
        self._failed: tuple[float, CloudError] | None = None  # when, in monotonic seconds
        resolver = credentials.create_credential_resolver(core, cache=_Cache(), region_name=region)
        # The session's own resolver takes neither a cache nor a prompt.
        resolver.get_provider("assume-role")._prompter = _prompter(ask_code)
        # These two use no client.
        for fetcher in (
            resolver.get_provider("iam-role")._role_fetcher,
            resolver.get_provider("container-role")._fetcher,
        ):
            fetcher._session = Bounded(fetcher._session, answer_s)
        core.register_component("credential_provider", resolver)

    def before_requests_of(self, client: Any) -> None:
        """Read or renew the credentials here, before the SDK does so to sign a request."""
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"request-created.{service}", self._require)

    def _require(self, **_: Any) -> None:
        """Raises CredentialsError or InputError, the same in all threads: the user is asked once.

        Another CloudError is the same in all threads that waited for it, so that they do not wait in turn.
        """
        began = time.monotonic()
        with self._lock:
            if self._refused:
                raise self._refused
            if self._failed and began < self._failed[0]:
                raise self._failed[1]
            try:
                with understood(self.core):
                    found = self.core.get_credentials()
                    if found is None:
                        raise exceptions.NoCredentialsError
                    self._require_text(found.get_frozen_credentials(), str(found.method))
            except (CredentialsError, InputError) as error:
                self._refused = error
                raise
            except CloudError as error:
                self._failed = time.monotonic(), error
                raise

    def _require_text(self, found: Any, method: str) -> None:
        """The SDK signs with whatever came, and fails then in many ways. method: where it is from."""
        which, variable, odd = own_settings.odd_key(
            found.access_key, found.secret_key, found.token or "", method=method
        )
        if odd:
            why = f": {which}" if which else ""
            again = "Run this again; if it stays so, sign in again, or correct them in"
            raise CredentialsError(
                f"the AWS credentials have another form than AWS's{why}",
                where=variable or f"AWS profile {_source(self.core).profile}",
                remedy="Set the variable again, without that." if variable else f"{again} {_FILES}.",
            )


class _Cache(JSONFileCache):  # type: ignore[misc]
    """The `aws` client's cache. A damaged file counts as missing; write errors are ignored."""

    def __init__(self) -> None:
        super().__init__(os.path.expanduser(_CACHE))

    def __contains__(self, key: str) -> bool:
        try:
            return bool(self[key]["Credentials"]["Expiration"])
        except (KeyError, TypeError):
            return False

    def __setitem__(self, key: str, value: Any) -> None:
        with suppress(OSError):
            super().__setitem__(key, value)


@dataclass(frozen=True)
class _Source:
    """The source of a profile's credentials."""

    profile: str  # the profile that sets it, which a role may use as its source_profile
    kind: str  # a key of _SIGN_IN, or another of _KINDS' values, or "" (keys, or nothing)
    settings: dict[str, Any]

    @property
    def program(self) -> str:
        words: list[str] = []
        with suppress(ValueError):
            words = shlex.split(str(self.settings.get("credential_process", "")))
        return words[0] if words else ""

    @property
    def token_file(self) -> str:
        in_profile = str(self.settings.get("web_identity_token_file", ""))
        return os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") or in_profile

    @property
    def sign_in(self) -> str:
        """The command to sign in with, or ""."""
        command = _SIGN_IN.get(self.kind, "")
        option = "" if self.profile == "default" else f" --profile {shlex.quote(self.profile)}"
        return f"`{command}{option}`" if command else ""


# The settings that decide a profile's kind, in the SDK's order.
_KINDS = {
    "web_identity_token_file": "web identity",
    "sso_account_id": "sso",
    "sso_role_name": "sso",
    "login_session": "login",
    "credential_process": "process",
}
_SIGN_IN = {"sso": "aws sso login", "login": "aws login"}


def _source(core: Any) -> _Source:
    """The source of the session's profile, or of the profile that its role is assumed from."""
    profile, seen = str(core.get_config_variable("profile") or "default"), set[str]()
    profiles = core.full_config.get("profiles", {})
    while True:
        settings = profiles.get(profile, {})
        for key, kind in _KINDS.items():
            if key in settings:
                return _Source(profile, kind, settings)
        seen.add(profile)
        source = settings.get("source_profile")
        if not source or source in seen:
            in_environment = "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ
            return _Source(profile, "web identity" if in_environment else "", settings)
        profile = str(source)


@contextmanager
def understood(core: Any) -> Iterator[None]:
    """Translate errors while the SDK reads configuration and credentials.

    The SDK's error is not chained, because it may quote a program's output with a secret.
    """
    with translated("reading your AWS credentials"):
        try:
            yield
        except exceptions.BotoCoreError as error:
            if explained := _explained(core, error):
                raise explained from None
            raise
        except _MALFORMED as error:
            raise _malformed(core, error) from None


def _explained(core: Any, error: exceptions.BotoCoreError) -> GpuBoxError | None:
    """None if the error is not about credentials."""
    match error:
        case exceptions.ConfigParseError():
            return own_settings.unreadable(error)
        case exceptions.ProfileNotFound():
            return own_settings.unknown_profile(core, error)
        # Of the network, or of no setting at all: see `translated`.
        case (
            exceptions.ConfigNotFound()
            | exceptions.NoRegionError()
            | exceptions.ConnectionError()
            | exceptions.HTTPClientError()
        ):
            return None
    source = _source(core)
    where = f"AWS profile {source.profile}"
    if isinstance(error, exceptions.PartialCredentialsError) and error.kwargs["provider"] == "env":
        where = "environment"
    again = f"Run {source.sign_in}, {_AGAIN}." if source.sign_in else f"Sign in again, {_AGAIN}."
    match error:
        case exceptions.MissingDependencyException():
            return CredentialsError(
                "signing in with `aws login` needs the package awscrt, which is not installed",
                where=where,
                remedy="Install it: `pip install 'botocore[crt]'`, or gpu-box with its extra `login`.",
            )
        case exceptions.LoginInsufficientPermissions():
            return CredentialsError(
                "your AWS user may not renew the sign-in of `aws login` (signin:CreateOAuth2Token)",
                where=where,
                remedy="Ask for AWS's policy SignInLocalDevelopmentAccess, or use other credentials.",
            )
        case exceptions.SSOTokenLoadError() | exceptions.LoginTokenLoadError():
            return CredentialsError("you are not signed in", where=where, remedy=again)
        case exceptions.TokenRetrievalError() | exceptions.SSOError() | exceptions.LoginError():
            return CredentialsError("your AWS sign-in has expired", where=where, remedy=again)
        case exceptions.RefreshWithMFAUnsupportedError():
            return _no_terminal()
        case exceptions.ParamValidationError() if "TokenCode" in str(error):
            return CredentialsError(
                "an MFA code has six digits",
                where=where,
                remedy="Run this again and type what the device shows.",
            )
        case exceptions.CredentialRetrievalError() if error.kwargs["provider"] == "custom-process":
            words = own_words(str(error.kwargs["error_msg"])) or "no error message"
            return CredentialsError(
                f"credential_process failed: {words}", where=where, remedy=_by_hand(source)
            )
        case exceptions.NoCredentialsError():
            why = own_settings.no_default(core)
            return CredentialsError(
                f"no AWS credentials found{f': {why}' if why else ''}",
                remedy="Run `aws configure`, `aws login` or `aws sso login`; without an account, try "
                "`gpu-box --local up`.",
            )
        case (
            exceptions.PartialCredentialsError()
            | exceptions.CredentialRetrievalError()
            | exceptions.InvalidConfigError()
            | exceptions.UnknownCredentialError()
            | exceptions.ParamValidationError()
            | exceptions.MetadataRetrievalError()
        ):
            named = _SOURCE_PROFILE.search(str(error))
            section = own_settings.section_of(core, named[1]) if named else ""
            return CredentialsError(
                own_words(str(error)),
                where=where,
                remedy=section or f"Correct it in {_FILES}, or in your AWS_ variables.",
            )
    return _of_settings(error)


def _of_settings(error: Exception) -> InputError:
    return InputError(
        f"AWS's SDK cannot use your settings: {own_words(str(error))}",
        remedy=f"Correct {_FILES}, or your AWS_ variables.",
    )


def _malformed(core: Any, error: Exception) -> GpuBoxError:
    try:
        source = _source(core)
    except (*_MALFORMED, exceptions.BotoCoreError):
        source = _Source("default", "", {})
    where = f"AWS profile {source.profile}"
    file = str(error.filename or "") if isinstance(error, OSError) else ""
    reason = f"{error.strerror}" if isinstance(error, OSError) else type(error).__name__
    if file and file == source.token_file:
        return CredentialsError(
            f"the web identity token {file} cannot be read: {reason}",
            where=where,
            remedy="AWS_WEB_IDENTITY_TOKEN_FILE, or web_identity_token_file in ~/.aws/config, sets it: "
            "correct the path, or let its provider write the file.",
        )
    if source.kind == "process" and file in ("", source.program):
        what = f"cannot be run: {reason}" if file else "does not print what AWS's SDK expects"
        program = f" ({source.program})" if source.program else ""
        return CredentialsError(f"credential_process {what}{program}", where=where, remedy=_by_hand(source))
    if file:
        return InputError(
            f"{file} cannot be read: {reason}", remedy=f"AWS's SDK needs {_FILES}: make it readable."
        )
    if source.sign_in:
        return CredentialsError(
            "the cache of your sign-in is damaged", where=where, remedy=f"Run {source.sign_in}, {_AGAIN}."
        )
    if address := re.fullmatch("Invalid endpoint: (.*)", str(error), re.DOTALL):
        return own_settings.malformed_address(address[1])
    return _of_settings(error)


def _by_hand(source: _Source) -> str:
    name = Path(source.program).name or "the program"
    return (
        f"Run {name} by hand as ~/.aws/config has it: it must print JSON with Version 1, AccessKeyId and "
        "SecretAccessKey."
    )


def _prompter(ask_code: AskCode | None) -> Callable[[str], str]:
    def prompt(question: str) -> str:
        code = ask_code(question) if ask_code else None
        if code is None:
            raise _no_terminal()
        return code

    return prompt


def _no_terminal() -> CredentialsError:
    return CredentialsError(
        "your AWS role asks for an MFA code, and there is no terminal to type it in",
        remedy="Run `gpu-box doctor` in a terminal: other commands can use the session until it expires, "
        "usually after an hour.",
    )


_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}")
_NAMED = re.compile(r"""(?i)((?:secret|passw(?:or)?d|token)\w*["']?\s*[:=]\s*["']?)[^\s"',}]{8,}""")
_JWT = re.compile(r"\beyJ[\w-]+(?:\.[\w-]*)*")
_LONG = re.compile(r"[A-Za-z0-9+/_=]{30,}")


def own_words(text: str) -> str:
    """Another program's last words on one line, without possible secrets."""
    text = _COLOUR.sub("", text)
    for secret in (_KEY_ID, _JWT):
        text = secret.sub("…", text)
    text = _LONG.sub(lambda found: "…" if _is_opaque(found[0]) else found[0], _NAMED.sub(r"\1…", text))
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _MOST_WORDS else f"…{line[-_MOST_WORDS:]}"


def _is_opaque(run: str) -> bool:
    """Whether it looks like a key (40 characters) or token in base64; a path has shorter parts."""
    part = run if len(run) == 40 and not run.startswith("/") else max(run.split("/"), key=len)
    kinds = (str.isupper, str.islower, str.isdigit)
    return len(part) >= 16 and all(any(kind(letter) for letter in part) for kind in kinds)
