"""The user's key pair, and the first host key, which is derived from it. `connection` checks host keys.

The first host key is a function of the user's private key, the box's name and its generation. So any laptop
with the key knows what the machine must present at the first connection, without stored state.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
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
from gpu_box.machine.ssh import key_file
from gpu_box.model.public_key import fingerprint

_ED25519 = b"ssh-ed25519"
_PEM_WIDTH = 70  # characters per line, as ssh-keygen writes


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
    """Read the key pair at `path`, or make an ed25519 one (mode 0600, no passphrase) if there is none.

    Raises InputError if the file exists but cannot be used; nothing is overwritten.
    """
    if _is_to_be_made(path):
        _make_key_pair(path)
    return read_key_pair(path)


def read_key_pair(path: Path) -> PublicKey:
    """The public half of the private key at `path`. Raises InputError, also if it is missing."""
    return _public_key(_load_private_key(path))


def read_public_line(path: Path) -> str | None:
    """The public line of the key at `path`; None if there is no file yet (`up` will make it)."""
    return None if _is_to_be_made(path) else read_key_pair(path).line


def _is_to_be_made(path: Path) -> bool:
    if path.exists() or path.is_symlink():
        return False
    if path.suffix == ".pub":
        raise InputError(
            "the name of a public key, and there is no such file",
            where=str(path),
            remedy=f"Set ssh.key to the private key: {path.with_suffix('')}",
        )
    return True


def first_host_key(private_key_path: Path, box_name: str, generation: str) -> HostKey:
    """The host key in the machine's user data: the same bytes at every call."""
    private = _load_private_key(private_key_path)
    seed = HKDF(
        algorithm=hashes.SHA256(),
        length=32,
        salt=b"gpu-box first host key",
        info=f"{box_name}\0{generation}".encode(),
    ).derive(_secret_bytes(private))
    host_key = Ed25519PrivateKey.from_private_bytes(seed)
    return HostKey(
        private_openssh_pem=_openssh_pem(host_key, comment=box_name), public_line=_public_key(host_key).line
    )


def openssh_text(path: Path) -> str:
    """The private key in OpenSSH's own format, which every SSH program reads."""
    private = _load_private_key(path)
    if isinstance(private, Ed25519PrivateKey):
        return _openssh_pem(private, comment="gpu-box")
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()


def _load_private_key(path: Path) -> Ed25519PrivateKey | RSAPrivateKey:
    return _parse_private_key(key_file.as_text(key_file.read(path)), path)


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
            remedy="Set ssh.key to a key without one, or remove the passphrase: "
            f"ssh-keygen -p -N '' -f {shlex.quote(str(path))}",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _unusable(content, path) from None
    if not isinstance(private, Ed25519PrivateKey | RSAPrivateKey):
        raise InputError(
            "this kind of SSH key is not accepted by EC2",
            where=str(path),
            remedy="Use an ed25519 or RSA key; or set ssh.key to a new path: `up` creates one.",
        )
    return private


def _unusable(content: bytes, path: Path) -> InputError:
    remedy = "Set ssh.key to a private key file, or to a new path: `up` creates one."
    if content.startswith(b"PuTTY-User-Key-File"):
        file = shlex.quote(str(path))
        what, remedy = (
            "this is a PuTTY key",
            f"Convert it, and set ssh.key to the new file: "
            f"puttygen {file} -O private-openssh -o {shlex.quote(str(path.with_suffix('')) + '-openssh')}",
        )
    elif (
        content.startswith((b"ssh-", b"ecdsa-", b"sk-", b"---- BEGIN SSH2 PUBLIC"))
        or b" PUBLIC KEY--" in content
    ):
        what = "this is a public key"
    elif b"sk-ssh-ed25519@openssh.com" in _decoded(content) or b"sk-ecdsa-" in _decoded(content):
        what = "a key on a security key (FIDO) is not accepted by EC2"
        remedy = "Use an ed25519 or RSA key; or set ssh.key to a new path: `up` creates one."
    else:
        what = "this is not a private SSH key"
    return InputError(what, where=str(path), remedy=remedy)


def _decoded(content: bytes) -> bytes:
    body = b"".join(line for line in content.splitlines() if not line.startswith(b"-----"))
    with contextlib.suppress(ValueError):
        return base64.b64decode(body)
    return b""


def _make_key_pair(path: Path) -> None:
    """Write both halves atomically; of two processes, the first wins."""
    private = Ed25519PrivateKey.generate()
    comment = "gpu-box"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, _openssh_pem(private, comment=comment), durable=True, replace=False)
        # From the key that is at `path` now, which may be the other process's.
        public_line = read_key_pair(path).line
        public = path.with_name(path.name + ".pub")
        write_whole(public, f"{public_line} {comment}\n", mode=0o644, durable=True, replace=False)
    except OSError as error:
        raise InputError(
            f"the SSH key cannot be created ({error.strerror})",
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
    """Bytes that only a holder of the key knows, independent of the file's format."""
    if isinstance(private, Ed25519PrivateKey):
        return private.private_bytes_raw()
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _openssh_pem(private: Ed25519PrivateKey, *, comment: str) -> str:
    """The key as ssh-keygen writes it (OpenSSH's PROTOCOL.key), deterministically.

    The library's own writer puts in a random number (`checkint`, which only detects a wrong passphrase). User
    data must be the same at each retry, otherwise EC2 takes the retry for another request.
    """
    public = private.public_key().public_bytes_raw()
    public_blob = _string(_ED25519) + _string(public)
    checkint = hashlib.sha256(public).digest()[:4]
    secret = (
        checkint * 2 + public_blob + _string(private.private_bytes_raw() + public) + _string(comment.encode())
    )
    secret += bytes(range(1, -len(secret) % 8 + 1))  # padding to the block size of the cipher "none"
    blob = b"openssh-key-v1\0" + _string(b"none") + _string(b"none") + _string(b"")
    blob += struct.pack(">I", 1) + _string(public_blob) + _string(secret)
    text = base64.b64encode(blob).decode()
    lines = [text[start : start + _PEM_WIDTH] for start in range(0, len(text), _PEM_WIDTH)]
    return "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""])


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value
