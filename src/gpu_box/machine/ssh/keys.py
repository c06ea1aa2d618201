"""The user's key pair, and the first host key, derived from it. Host keys are checked in `connection`.

The first host key is a function of the user's private key, the box's name and its generation: any laptop that
holds the key knows what the machine must present at the first connection, and no state is kept for it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gpu_box.errors import InputError
from gpu_box.files import write_whole
from gpu_box.model.public_key import fingerprint

_ED25519 = b"ssh-ed25519"
_PEM_WIDTH = 70  # characters a line, as ssh-keygen writes


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """line: "ssh-ed25519 AAAA...", no comment; fingerprint: "SHA256:...", as ssh-keygen -l prints it."""

    line: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class HostKey:
    private_openssh_pem: str
    public_line: str


def ensure_key_pair(path: Path) -> PublicKey:
    """Read the key pair at `path`, making an ed25519 one (mode 0600, no passphrase) where there is none.

    Raises InputError where the file exists but cannot serve as it is; nothing is overwritten.
    """
    if not path.exists() and not path.is_symlink():
        _make_key_pair(path)
    return read_key_pair(path)


def read_key_pair(path: Path) -> PublicKey:
    """The public half of the private key at `path`. Raises InputError, also where it is missing."""
    return _public_key(_load_private_key(path))


def read_public_line(path: Path) -> str | None:
    """The public line of the key at `path`; None where there is no file yet (`up` will make it)."""
    return read_key_pair(path).line if path.exists() or path.is_symlink() else None


def first_host_key(private_key_path: Path, box_name: str, generation: str) -> HostKey:
    """The host key given to the machine in its user data: the same bytes each time it is asked for."""
    private = _load_private_key(private_key_path)
    seed = HKDF(
        algorithm=hashes.SHA256(),
        length=32,
        salt=b"gpu-box first host key",
        info=f"{box_name}\0{generation}".encode(),
    ).derive(_secret_bytes(private))
    host_key = Ed25519PrivateKey.from_private_bytes(seed)
    return HostKey(
        private_openssh_pem=_openssh_pem(host_key, comment=box_name),
        public_line=_public_key(host_key).line,
    )


def _load_private_key(path: Path) -> Ed25519PrivateKey | RSAPrivateKey:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(
                "the SSH key is a folder", where=str(path), remedy="Point ssh.key at a private key file."
            )
        # ssh itself refuses such a key; it checks only files that the user owns, and so do we.
        if stat.S_IMODE(mode) & 0o077 and path.stat().st_uid == os.getuid():
            raise InputError(
                f"the SSH key can be read by others (mode {stat.S_IMODE(mode):04o})",
                where=str(path),
                remedy=f"Run: chmod 600 {path}",
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            "there is no SSH key here",
            where=str(path),
            remedy="`gpu-box up` makes one; or set ssh.key to yours.",
        ) from None
    except PermissionError:
        raise InputError(
            "the SSH key cannot be read",
            where=str(path),
            remedy="Make it yours (chown), mode 600; or set ssh.key to another file.",
        ) from None
    except OSError as error:
        raise InputError(
            f"the SSH key cannot be read ({error.strerror})",
            where=str(path),
            remedy="Set ssh.key to another file.",
        ) from None
    return _parse_private_key(content, path)


def _parse_private_key(content: bytes, path: Path) -> Ed25519PrivateKey | RSAPrivateKey:
    load = (
        serialization.load_ssh_private_key
        if b"BEGIN OPENSSH PRIVATE KEY" in content
        else serialization.load_pem_private_key
    )
    try:
        private = load(content, password=None)
    except TypeError:
        raise InputError(
            "the SSH key is protected by a passphrase",
            where=str(path),
            remedy=f"Set ssh.key to a key without one, or take it away (ssh-keygen -p -f {path}).",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        what = (
            "this is a public key"
            if content.startswith((b"ssh-", b"ecdsa-"))
            else "this is not a private SSH key"
        )
        raise InputError(
            what,
            where=str(path),
            remedy="Set ssh.key to a private key file, or to a new path: `up` makes one.",
        ) from None
    if not isinstance(private, Ed25519PrivateKey | RSAPrivateKey):
        raise InputError(
            "this kind of SSH key is not accepted by EC2",
            where=str(path),
            remedy="Use an ed25519 or RSA key; or set ssh.key to a new path: `up` makes one.",
        )
    return private


def _make_key_pair(path: Path) -> None:
    """Both halves appear whole or not at all; of two that make one at once, the first wins."""
    private = Ed25519PrivateKey.generate()
    comment = "gpu-box"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, _openssh_pem(private, comment=comment), durable=True, replace=False)
        # Written from what is at `path` now, which may be the other one's.
        public_line = read_key_pair(path).line
        public = path.with_name(path.name + ".pub")
        write_whole(public, f"{public_line} {comment}\n", mode=0o644, durable=True, replace=False)
    except OSError as error:
        raise InputError(
            f"no SSH key can be made here ({error.strerror})",
            where=str(path),
            remedy="Make the folder writable, or set ssh.key to another path.",
        ) from None


def _public_key(private: Ed25519PrivateKey | RSAPrivateKey) -> PublicKey:
    line = (
        private.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
    return PublicKey(line=line, fingerprint=fingerprint(line))


def _secret_bytes(private: Ed25519PrivateKey | RSAPrivateKey) -> bytes:
    """Bytes that only a holder of the key knows, and that do not depend on the file's format."""
    if isinstance(private, Ed25519PrivateKey):
        return private.private_bytes_raw()
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _openssh_pem(private: Ed25519PrivateKey, *, comment: str) -> str:
    """The key as ssh-keygen writes it (OpenSSH's PROTOCOL.key), with no byte left to chance.

    Ours, because the library's own puts a random number in (`checkint`, which only serves to detect a wrong
    passphrase): user data must be the same at each retry, or EC2 takes the retry for another request.
    """
    public = private.public_key().public_bytes_raw()
    public_blob = _string(_ED25519) + _string(public)
    checkint = hashlib.sha256(public).digest()[:4]
    secret = (
        checkint * 2 + public_blob + _string(private.private_bytes_raw() + public) + _string(comment.encode())
    )
    secret += bytes(range(1, -len(secret) % 8 + 1))  # padded to the block size of the cipher "none"
    blob = b"openssh-key-v1\0" + _string(b"none") + _string(b"none") + _string(b"")
    blob += struct.pack(">I", 1) + _string(public_blob) + _string(secret)
    text = base64.b64encode(blob).decode()
    lines = [text[start : start + _PEM_WIDTH] for start in range(0, len(text), _PEM_WIDTH)]
    return "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""])


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value
