"""Makes the box ready to receive, and tells what it has already.

~/.gpu-box/sync/ remembers which files came by sync. So `--delete` removes what is gone from the laptop, and
never what was made on the box.
"""

from __future__ import annotations

import hashlib
import os

from sync.answer import describe, send
from sync.inside import Folder

_RECORDS = os.path.expanduser("~/.gpu-box/sync")


def prepare(name: str, wanted: bytes, delete: bool) -> None:
    """wanted: the paths that the laptop has, each ended by NUL."""
    folder = os.fsencode(os.path.expanduser(name))
    paths = [path for path in wanted.split(b"\0") if path]
    os.makedirs(folder, exist_ok=True)
    record = os.path.join(_RECORDS, hashlib.sha256(folder).hexdigest()[:16])
    former = _read(record)
    with Folder(folder) as inside:
        deleted = sum(inside.remove(path) for path in former - set(paths)) if delete else 0
        for path in {os.path.dirname(path): path for path in paths}.values():
            inside.make_parents(path)
    known = set(paths) if delete else former | set(paths)
    if known != former:
        _write(record, known)
    send(describe(folder, deleted=deleted), folder, paths)


def _read(record: str) -> set[bytes]:
    try:
        with open(record, "rb") as file:
            return {path for path in file.read().split(b"\0") if path}
    except OSError:
        return set()


def _write(record: str, paths: set[bytes]) -> None:
    os.makedirs(_RECORDS, exist_ok=True)
    temporary = f"{record}.new.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(b"\0".join(sorted(paths)))
    os.replace(temporary, record)
