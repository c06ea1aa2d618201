"""The cloud's own access keys, made at random once and readable by its user alone. Standard library alone.

Every user of this computer can connect to loopback, and a caller that may launch an instance gets a shell as
the daemon's user. So every call must be signed with a key that this cloud issued. gpu-box's key may do what
infra/operator-policy.json allows; the account owner's may do everything.
"""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import asdict, dataclass
from typing import Any

from local_aws.files import Files, read_private, write_private

# A made-up service name: the owner signs calls below /embedded/ for it.
OWN_SERVICE = "gpu-box"
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
    """The keys of this data folder, created if there are none. Only one process at a time may call this."""
    try:
        known = json.loads(read_private(files.credentials))
    except FileNotFoundError:
        known = {}
    except (ValueError, RecursionError):
        known = {}  # damaged: as if there were none
    known = known if isinstance(known, dict) else {}
    made = Account(**{who: _credentials(known.get(who)) for who in ("owner", "operator")})
    content = asdict(made)
    if known != content:
        write_private(files.credentials, json.dumps(content).encode())
    return made


def _credentials(known: Any) -> Credentials:
    if isinstance(known, dict) and set(known) == {"key_id", "secret"} and all(map(_is_word, known.values())):
        return Credentials(**known)
    return Credentials("AKIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)), secrets.token_hex(20))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 16 <= len(value) <= 128 and value.isalnum()
