"""Makes the box ready to receive, and tells what it has already.

~/.gpu-box/sync/ remembers which files came by sync. So `--delete` removes what is gone from the laptop, and
never what was made on the box.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from setup.desired import ROOT
from sync.answer import describe, send


def prepare(name: str, wanted: bytes, delete: bool) -> None:
    """wanted: the paths that the laptop has, each ended by NUL."""
    folder = os.fsencode(os.path.expanduser(name))
    paths = [path for path in wanted.split(b"\0") if path]
    os.makedirs(folder, exist_ok=True)
    record = ROOT / "sync" / hashlib.sha256(folder).hexdigest()[:16]
    former = _read(record)
    deleted = _delete(folder, former - set(paths)) if delete else 0
    known = set(paths) if delete else former | set(paths)
    if known != former:
        _write(record, known)
    for parent in {os.path.dirname(path) for path in paths}:
        with contextlib.suppress(OSError):  # a file is in the way: its transfer tells
            os.makedirs(os.path.join(folder, parent), exist_ok=True)
    send(describe(folder, deleted=deleted), folder, paths)


def _delete(folder: bytes, paths: set[bytes]) -> int:
    deleted = 0
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, path))
            deleted += 1
        parent = os.path.dirname(path)
        with contextlib.suppress(OSError):  # not empty: stays
            while parent:
                os.rmdir(os.path.join(folder, parent))
                parent = os.path.dirname(parent)
    return deleted


def _read(record: Path) -> set[bytes]:
    try:
        return {path for path in record.read_bytes().split(b"\0") if path}
    except OSError:
        return set()


def _write(record: Path, paths: set[bytes]) -> None:
    ordered: list[bytes] = sorted(paths)
    record.parent.mkdir(parents=True, exist_ok=True)
    temporary = record.with_name(f"{record.name}.new.{os.getpid()}")
    temporary.write_bytes(b"\0".join(ordered))
    os.replace(str(temporary), str(record))
