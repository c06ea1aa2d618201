"""PURE: what tells one OpenSSH public key line from another."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(public_line: str) -> str:
    """ "SHA256:...", as `ssh-keygen -l` shows it."""
    digest = hashlib.sha256(base64.b64decode(public_line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def same_key(a: str, b: str) -> bool:
    """Whether two lines are one key, whatever their comments."""
    return a.split()[:2] == b.split()[:2]
