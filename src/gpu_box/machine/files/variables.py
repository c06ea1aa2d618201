"""The variables of the config's `env` and `env_file`: read on the laptop, put in a private file on the box.

The file on the box is sourced by its shells and read by jobs and JupyterLab (remote/setup/variables.py).
Values are sent over standard input only. The box compares a digest keyed with the private SSH key, so that a
short secret cannot be guessed from the command line that contains the digest.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.files import read_given
from gpu_box.machine.files import secret
from gpu_box.machine.ssh.connection import Connection

PLACE = ".gpu-box", "env.sh"
_MOST_FILE_BYTES = 1 << 20
# execve(2): one "NAME=value" may have 128 KiB with its final NUL, MAX_ARG_STRLEN.
_MOST_VARIABLE_BYTES = (128 << 10) - 1
_MOST_BYTES = 512 << 10  # in total; a process starts with at most 2 MiB of arguments and environment
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "VIRTUAL_ENV"}
_AWS_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
# A line as python-dotenv reads it: KEY=value, 'literal', "with \n escapes", each perhaps after `export`.
# ${NAME} is not replaced.
_LINE = re.compile(
    r"""[^\S\r\n]*+(?:export[^\S\r\n]++)?(?P<name>[^=\s#'"]++)[^\S\r\n]*+=(?P<gap>[^\S\r\n]*+)
    (?:(?:'(?P<single>(?:\\.|[^'\\])*+)'|"(?P<double>(?:\\.|[^"\\])*+)")[^\S\r\n]*+(?:\#[^\r\n]*+)?
    |(?P<bare>(?!['"])[^\r\n]*+))(?:\r\n|\n|\r|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_SKIPPED = re.compile(r"[^\S\r\n]*(?:\#[^\r\n]*)?(?:\r\n|\n|\r|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(frozen=True, kw_only=True)
class Variables:
    """values: by name, sorted. missing: names of `env` that have no value on this laptop."""

    values: dict[str, str] = field(repr=False)
    missing: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self.values, *self.missing}))


def read(config: Config) -> Variables:
    """`NAME=value` in `env` overrides the laptop's environment, which overrides `env_file`.

    Raises InputError for a file or a name that cannot be used; its message contains no value.
    """
    in_file = _parse(config.env_file) if config.env_file else {}
    found, missing = dict(in_file), []
    for item in config.env:
        name, given, value = item.partition("=")
        if given:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
        elif name not in in_file:
            missing.append(name)
    for name, value in found.items():
        _require_usable(name, value, where=str(config.env_file) if name in in_file else "env")
    if sum(len(os.fsencode(name + value)) for name, value in found.items()) > _MOST_BYTES:
        raise InputError(
            "the variables are over 512 KiB in total", where="env", remedy="Send a file instead."
        )
    return Variables(values=dict(sorted(found.items())), missing=tuple(missing))


def require(config: Config) -> Variables:
    """As `read`. Raises InputError also for names without a value on this laptop."""
    variables = read(config)
    if variables.missing:
        raise InputError(
            f"no value for {', '.join(variables.missing)}",
            where="env",
            remedy="Set it in this shell or in env_file, or remove the name from `env`.",
        )
    return variables


def names(config: Config) -> tuple[str, ...]:
    """The names of the variables; only those of `env` if env_file cannot be read."""
    try:
        return read(config).names
    except InputError:
        return tuple(sorted({item.partition("=")[0] for item in config.env}))


def content(config: Config, variables: Variables | None = None) -> bytes | None:
    """The content of the box's file; empty: the box needs no file; None: a value is missing or unreadable, so
    the box keeps its file. The first line is the digest that `digest` returns.

    variables: if they are read already, because env_file may be a pipe, or ask its reader for a password.
    """
    try:
        variables = variables or read(config)
    except InputError:
        return None
    if variables.missing:
        return None
    if not variables.values:
        return b""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.values.items()]
    text = os.fsencode("".join(lines))
    try:
        if not config.ssh.key.is_file():
            return None
        key = config.ssh.key.read_bytes()
    except OSError:
        return None  # without the key the box cannot be reached
    return b"# " + hmac.new(key, text, hashlib.sha256).hexdigest().encode() + b"\n" + text


def digest(content: bytes | None) -> str | None:
    """The digest that the box compares; "" if it needs no file, None if it keeps its file."""
    return content if content is None else content.partition(b"\n")[0].decode()


def push(connection: Connection, wanted: bytes) -> None:
    secret.put(connection, *PLACE, wanted)


def _parse(path: Path) -> dict[str, str]:
    try:
        raw = read_given(path, _MOST_FILE_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unusable(path, "is not UTF-8 text") from None
    if len(raw) > _MOST_FILE_BYTES:
        raise _unusable(path, "is over 1 MiB")
    return dict(_variables(text, path))


def _variables(text: str, path: Path) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        if skipped := _SKIPPED.match(text, at):
            at = skipped.end()
            continue
        found = _LINE.match(text, at)
        if not found or not _NAME.fullmatch(found["name"]):
            line = len(re.findall(r"\r\n|\n|\r", text[:at])) + 1
            raise _unusable(path, f"line {line} is not NAME=value")
        at = found.end()
        yield found["name"], _value(found)


def _value(found: re.Match[str]) -> str:
    if (single := found["single"]) is not None:
        return re.sub(r"\\([\\'])", r"\1", single)
    if (double := found["double"]) is not None:
        return re.sub(r"\\([\\'\"abfnrtv])", lambda m: _ESCAPES.get(m[1], m[1]), double)
    if found["gap"] and found["bare"].startswith("#"):
        return ""
    return re.sub(r"\s+#.*", "", found["bare"]).rstrip()


def _require_usable(name: str, value: str, *, where: str) -> None:
    if name in _AWS_KEYS:
        raise InputError(
            f"{name} would copy AWS credentials to the box, which must not have any",
            where=where,
            remedy="Use a presigned URL, or copy files with `sync`.",
        )
    if name in _OURS or name.startswith("GPU_BOX_"):
        raise InputError(f"{name} is set by the box itself", where=where, remedy="Remove it.")
    if "\0" in value:
        raise InputError(f"the value of {name} has a NUL character", where=where, remedy="Remove it.")
    if len(os.fsencode(f"{name}={value}")) > _MOST_VARIABLE_BYTES:
        raise InputError(
            f"the value of {name} is over 128 KiB, the most that Linux takes",
            where=where,
            remedy="Send it as a file.",
        )


def _unusable(path: Path, what: str) -> InputError:
    return InputError(what, where=str(path), remedy="Correct it, or set env_file to another file.")
