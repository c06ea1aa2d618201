"""PURE: fingerprints and comparison of OpenSSH public key lines."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(public_line: str) -> str:
    """ "SHA256:...", as `ssh-keygen -l` shows it."""
    digest = hashlib.sha256(base64.b64decode(public_line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def is_public_key(line: str) -> bool:
    """Whether it is an OpenSSH line: a key type, and a blob that begins with that type (RFC 4253, 6.6)."""
    words = line.split()
    try:
        kind, blob = words[0].encode("ascii"), base64.b64decode(words[1], validate=True)
    except (IndexError, ValueError):
        return False
    return blob.startswith(len(kind).to_bytes(4, "big") + kind) and len(blob) > 4 + len(kind)


def same_key(a: str, b: str) -> bool:
    """Whether two lines hold the same key, ignoring comments."""
    return a.split()[:2] == b.split()[:2]
