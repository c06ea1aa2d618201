"""The cloud's own access keys: made at random, once, and known to its user alone. Standard library alone.

On a computer with several users anybody can connect to loopback, and whoever may launch an instance gets a
shell as the daemon's user: so a call is answered only to a key that this cloud gave out. gpu-box has one that
may what infra/operator-policy.json says, and nothing else; the account's owner may everything.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from dataclasses import asdict, dataclass

from gpu_box.embedded.files import Files

_ALPHABET = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Credentials:
    key_id: str  # 20 characters: what SDKs send, and what moto looks for
    secret: str


@dataclass(frozen=True)
class Account:
    owner: Credentials
    operator: Credentials


def account(files: Files) -> Account:
    """That of this data folder, made if there is none. To be called by one process at a time."""
    try:
        known = json.loads(files.credentials.read_text())
    except FileNotFoundError:
        known = {}
    if "key_id" in known:  # of a time when there was one key for all
        known = {"owner": known}
    made = Account(**{who: _credentials(known.get(who)) for who in ("owner", "operator")})
    told = asdict(made)
    if known != told:
        _write(files, told)
    return made


def _credentials(known: dict[str, str] | None) -> Credentials:
    if known:
        return Credentials(**known)
    return Credentials("AKIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)), secrets.token_hex(20))


def _write(files: Files, told: dict[str, dict[str, str]]) -> None:
    temporary = files.credentials.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(told, file)
    temporary.replace(files.credentials)
