"""Finds the folders in which nothing has changed since the last push: their files need no list.

What `compare` would call "same" for each file in it, and for each that was ever pushed into it. The laptop's
digest of a folder is the SHA-256 of "NAME STAMP" of its files, sorted and joined by NUL.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys

from sync.answer import describe
from sync.compare import records, state


def unchanged(name: str, wanted: bytes) -> None:
    """wanted: for each folder DIGEST PATH, terminated by NUL. Answers with the paths of the others."""
    folder = os.fsencode(os.path.expanduser(name))
    os.makedirs(folder, exist_ok=True)
    files = _by_folder(folder)
    out = sys.stdout.buffer
    out.write(json.dumps(describe(folder, deleted=0)).encode() + b"\n")
    for item in wanted.split(b"\0")[:-1]:
        digest, path = item.split(b" ", 1)
        pushed = files.get(path, {})
        same = hashlib.sha256(b"\0".join(sorted(pushed))).hexdigest().encode() == digest
        if not (same and _as_recorded(folder, path, pushed)):
            out.write(path + b"\0")
    out.flush()


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
