"""The cloud's own access keys: made at random, once, and known to its user alone. Standard library alone.

On a computer with several users each can connect to loopback, and who may launch an instance gets a shell as
the daemon's user: so a call must be signed with the secret of a key that this cloud gave out. gpu-box has one
that may do what infra/operator-policy.json says, and nothing else; the account's owner may do everything.
"""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import asdict, dataclass

from local_aws.files import Files, read_private, write_private

# Not AWS's: the service that calls of the cloud's own, below /embedded/, are signed for by the owner.
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
    """That of this data folder, made if there is none. To be called by one process at a time."""
    try:
        known = json.loads(read_private(files.credentials))
    except FileNotFoundError:
        known = {}
    made = Account(**{who: _credentials(known.get(who)) for who in ("owner", "operator")})
    told = asdict(made)
    if known != told:
        write_private(files.credentials, json.dumps(told).encode())
    return made


def _credentials(known: dict[str, str] | None) -> Credentials:
    if known:
        return Credentials(**known)
    return Credentials("AKIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)), secrets.token_hex(20))
