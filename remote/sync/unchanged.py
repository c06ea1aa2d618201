"""Finds the folders in which nothing has changed since the last push: their files need no list.

What `compare` would call "same" for each file in it, and for each that was ever pushed into it. The laptop's
digest of a folder is the SHA-256 of "NAME STAMP" of its files, sorted and joined by NUL.

~/.gpu-box/sync/HASH.tree has the digests of the last question to which the answer was none, and of what
`find` printed just before. While both are the same, so is the answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator

from sync.answer import describe
from sync.compare import records, state
from sync.prepare import record_of, write
from sync.tree import Find

# Folders in which nothing was pushed, but programs write.
_LEFT_OUT = ("__pycache__", ".ipynb_checkpoints")


def unchanged(name: str, read: Callable[[], bytes]) -> None:
    """read: gives, for each folder, DIGEST PATH, terminated by NUL. Answers with the paths of the others."""
    folder = os.fsencode(os.path.expanduser(name))
    os.makedirs(folder, exist_ok=True)
    tree = _tree(folder)  # while the laptop makes its question
    wanted = read()
    known = (hashlib.sha256(wanted).hexdigest() + tree).encode()
    remembered = record_of(folder) + ".tree"
    changed = [] if tree and _content(remembered) == known else list(_changed(folder, wanted))
    out = sys.stdout.buffer
    out.write(json.dumps(describe(folder, deleted=0, changed=len(changed))).encode() + b"\n")
    out.write(b"".join(path + b"\0" for path in changed))
    out.flush()
    if tree and not changed and _content(remembered) != known:
        with contextlib.suppress(OSError):  # a full disk: it only takes longer
            write(remembered, known)


def _changed(folder: bytes, wanted: bytes) -> Iterator[bytes]:
    files = _by_folder(folder)
    for item in wanted.split(b"\0")[:-1]:
        digest, path = item.split(b" ", 1)
        pushed = files.get(path, {})
        same = hashlib.sha256(b"\0".join(sorted(pushed))).hexdigest().encode() == digest
        if not (same and _as_recorded(folder, path, pushed)):
            yield path


def _tree(folder: bytes) -> str:
    try:
        return Find(folder, _LEFT_OUT).digest()
    except OSError:  # there is no `find`
        return ""


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _by_folder(folder: bytes) -> dict[bytes, dict[bytes, bytes]]:
    """For each folder, the states of its pushed files by "NAME STAMP"."""
    files: dict[bytes, dict[bytes, bytes]] = {}
    try:
        for stamp, its_state, path in records(folder):
            above, _, name = path.rpartition(b"/")
            files.setdefault(above, {})[name + b" " + stamp] = its_state
    except ValueError:
        return {}
    return files


def _as_recorded(folder: bytes, path: bytes, pushed: dict[bytes, bytes]) -> bool:
    where = os.path.join(os.path.realpath(folder), path).rstrip(b"/")
    if os.path.realpath(where) != where:  # a link is in the way
        return False
    return all(state(where + b"/" + name.rpartition(b" ")[0]) == known for name, known in pushed.items())
