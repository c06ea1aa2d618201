"""What is wrong with the user's own settings for AWS's SDK: its files, profiles, keys and addresses.

A message quotes no line of a file, because it may have a secret in it.
"""

from __future__ import annotations

import configparser
import os
import re
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore import exceptions

from gpu_box.errors import InputError
from gpu_box.nearest import meant

FILES = "~/.aws/config and ~/.aws/credentials"
_MARK, _UTF_16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_NAME = re.compile(r"[a-z_]{1,40}")  # of a setting; anything else may be a value that lost its name
_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")  # in the SDK's order
_KEYS = {
    "AWS_ACCESS_KEY_ID": "the access key ID",
    "AWS_SECRET_ACCESS_KEY": "the secret access key",
    "AWS_SESSION_TOKEN": "the session token",
}
_QUOTES = "\"'"


def unreadable(error: exceptions.ConfigParseError) -> InputError:
    path = str(error.kwargs["path"])
    why, remedy = _fault(Path(path), error.kwargs.get("error"))
    reason = f": {why}" if why else ""
    return InputError(f"{path} is not valid for AWS's SDK{reason}", remedy=remedy)


def _fault(path: Path, error: object) -> tuple[str, str]:
    """Why the SDK does not read the file, and the remedy."""
    remedy = "Correct the file: `[profile NAME]`, then lines of `key = value`."
    begins = b""
    with suppress(OSError), path.open("rb") as file:
        begins = file.read(len(_MARK))
    if begins.startswith(_MARK):
        return "it begins with a byte order mark", "Save it as UTF-8 without one."
    if begins.startswith(_UTF_16):
        return "it is UTF-16", "Save it as UTF-8."
    match error:
        case UnicodeDecodeError():
            line = error.object[: error.start].count(b"\n") + 1
            return f"line {line} is not UTF-8", "Save it as UTF-8."
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno} stands before any section", remedy
        case configparser.DuplicateOptionError():
            which = error.option if _NAME.fullmatch(error.option) else "a key"
            return f"line {error.lineno} sets {which} of [{error.section}] again", "Remove one of the two."
        case configparser.DuplicateSectionError():
            return f"line {error.lineno} begins [{error.section}] again", "Remove one of the two."
        case configparser.ParsingError():
            return f"line {error.errors[0][0]} is no `key = value`", remedy
        case ValueError():
            return "an indented line in it is no `key = value`", remedy
    return "", remedy


def unknown_profile(core: Any, error: exceptions.ProfileNotFound) -> InputError:
    name = str(error.kwargs["profile"])
    where = next((each for each in _PROFILES if os.environ.get(each) == name), "profile")
    if not name.strip():
        return InputError("the profile has no name", where=where, remedy=f"Set it, or `unset {where}`.")
    return InputError(
        f"the config profile {name!r} could not be found",
        where=where,
        remedy=section_of(core, name)
        or f"`aws configure list-profiles` lists yours.{meant(name, _sections(core)[0])}",
    )


def section_of(core: Any, name: str) -> str:
    """How the profile's section must be written, if it is there in another way; or ""."""
    profiles, others = _sections(core)
    if f"profile {name}" in profiles:
        return f"Name its section in ~/.aws/credentials [{name}], without `profile`."
    if any(each != name and each.strip() == name for each in profiles):
        return f"Name its section [{name}], without blanks at its ends."
    if name in others:
        return f"Name its section in ~/.aws/config [profile {name}]."
    if " " in name.strip():
        return f'With a blank in its name, its section in ~/.aws/config is [profile "{name}"].'
    return ""


def no_default(core: Any) -> str:
    """Why there may be no credentials, although there are files: a sentence, or ""."""
    named = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "")
    if named and not Path(os.path.expandvars(named)).expanduser().is_file():
        return f"AWS_SHARED_CREDENTIALS_FILE names {named}, which is not there"
    profiles, _ = _sections(core)
    others = [name for name in profiles if name.strip() != "default"]
    if others and "default" not in profiles:
        return f"there is no profile `default`, but {', '.join(others[:3])}"
    return ""


def _sections(core: Any) -> tuple[list[str], list[str]]:
    """Profiles, and the other sections."""
    with suppress(exceptions.BotoCoreError, OSError, ValueError):
        found = core.full_config
        known = {"profiles", "sso_sessions", "services"}
        return list(found.get("profiles", {})), [name for name in found if name not in known]
    return [], []


def odd_key(access_key: str, secret_key: str, token: str, *, method: str) -> tuple[str, str, bool]:
    """Which of the credentials is not of AWS's form and why, the variable that sets it or "", and whether
    one is. method: the SDK's word for where they are from.
    """
    for variable, value in zip(_KEYS, (access_key, secret_key, token), strict=True):
        if value and (why := _odd(value)):
            return f"{_KEYS[variable]} {why}", variable if method == "env" else "", True
    return "", "", not (access_key and secret_key)


def _odd(value: str) -> str:
    if value[-1] in "\r\n":
        return "ends with a line break"
    if value[0] in _QUOTES and value[-1] == value[0] and len(value) > 1:
        return "is in quotes"
    for letter in value:
        if letter.isspace():
            return "has a blank in it"
        if not "!" <= letter <= "~":
            name = unicodedata.name(letter, "a control character").lower()
            return f"has a character that no key has (U+{ord(letter):04X}, {name})"
    return ""


def malformed_address(address: str) -> InputError:
    variables = [
        name
        for name, value in os.environ.items()
        if name.startswith("AWS_ENDPOINT_URL") and value and value.strip() in address
    ]
    shown = re.sub(r"//[^/@]*@", "//", address)  # without a name and a password
    return InputError(
        f"{shown!r} is no address of AWS's API",
        where=variables[0] if variables else "endpoint_url",
        remedy="Write it as https://HOST or http://HOST:PORT, or remove it from your AWS_ variables and "
        "~/.aws/config.",
    )
