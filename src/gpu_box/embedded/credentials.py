"""The cloud's own access key: made at random, once, and known to its user alone. Standard library alone.

On a computer with several users anybody can connect to loopback, and whoever may launch an instance gets a
shell as the daemon's user: so a call is answered only to a key that this cloud gave out.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from dataclasses import dataclass

from gpu_box.embedded.files import Files

_ALPHABET = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Credentials:
    key_id: str  # 20 characters: what SDKs send, and what moto looks for
    secret: str


def credentials(files: Files) -> Credentials:
    """Those of this data folder, made if there are none. To be called by one process at a time."""
    try:
        return Credentials(**json.loads(files.credentials.read_text()))
    except FileNotFoundError:
        pass
    made = Credentials("AKIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)), secrets.token_hex(20))
    temporary = files.credentials.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(made.__dict__, file)
    temporary.replace(files.credentials)
    return made
