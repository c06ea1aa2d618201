"""Reads the user's private key file, and copies it if an editor or a shell changed it so that OpenSSH cannot.

Does not import the libraries that read keys, which take long to import: see `keys`.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import shlex
import stat
from pathlib import Path

from gpu_box.errors import InputError
from gpu_box.files import write_whole

# The form that every OpenSSH reads: text may follow the key, but not precede it or divide its lines.
_CANONICAL = re.compile(
    rb"-----BEGIN ((?:OPENSSH |RSA )?PRIVATE KEY)-----\n(?:[A-Za-z0-9+/=]+\n)+-----END \1-----\n.*", re.DOTALL
)
_MOST_BYTES = 1 << 20
# PKCS8: OpenSSH before 9.6 reads it only for RSA, whose smallest key is far longer than an ed25519 key.
_PKCS8, _SHORTEST_RSA_BYTES = b"-----BEGIN PRIVATE KEY", 400


def for_openssh(path: Path, copy: Path) -> Path:
    """`path`; or `copy`, written anew, if OpenSSH may not read the file as it is: CRLF, no final newline,
    a byte order mark, text before the key, ed25519 in PKCS8.
    """
    try:
        content = read(path)
        short = content.startswith(_PKCS8) and len(content) < _SHORTEST_RSA_BYTES
        if _CANONICAL.fullmatch(content) and not short:
            return path
        from gpu_box.machine.ssh import keys

        write_whole(copy, keys.openssh_text(path), durable=True)
        return copy
    except InputError:  # reported when the key is used
        return path


def read(path: Path) -> bytes:
    """The content. Raises InputError if the file is missing, or a private key that other users can read."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise InputError(
                f"the SSH key is {kind}", where=str(path), remedy="Set ssh.key to a private key file."
            )
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
        # ssh refuses such a key too; like ssh, check only files that the user owns.
        others = stat.S_IMODE(found.st_mode) & 0o077 and found.st_uid == os.getuid()
        if others and b"PRIVATE KEY" in as_text(content):  # of another file the caller says what it is
            raise InputError(
                f"the SSH key can be read by others (mode {stat.S_IMODE(found.st_mode):04o})",
                where=str(path),
                remedy=f"Run: chmod 600 {shlex.quote(str(path))}",
            )
        return content
    except FileNotFoundError:
        raise InputError(
            "there is no SSH key here",
            where=str(path),
            remedy="`gpu-box up` creates one; or set ssh.key to yours.",
        ) from None
    except PermissionError:
        raise InputError(
            "the SSH key cannot be read",
            where=str(path),
            remedy="Change its owner to you (chown) and its mode to 600, or set ssh.key to another file.",
        ) from None
    except OSError as error:
        raise InputError(
            f"the SSH key cannot be read ({error.strerror})",
            where=str(path),
            remedy="Set ssh.key to another file.",
        ) from None


def as_text(content: bytes) -> bytes:
    """Convert UTF-16; remove a byte order mark and blanks around lines, as editors and shells add them."""
    with contextlib.suppress(UnicodeDecodeError):
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            content = content.decode("utf-16").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    return b"".join(line.strip() + b"\n" for line in content.splitlines())
