"""Prepares the box to receive, and lists the files that it has.

~/.gpu-box/sync/ records which files came by sync, so that `--delete` removes files deleted on the laptop but
never files made on the box.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable

from sync.answer import describe, send
from sync.inside import Folder
from sync.parts import drop

_RECORDS = os.path.expanduser("~/.gpu-box/sync")


def prepare(name: str, wanted: bytes, delete: bool) -> None:
    """Serves older laptops, without `compare`. wanted: the laptop's paths, each terminated by NUL."""
    folder = os.fsencode(os.path.expanduser(name))
    paths = [path for path in wanted.split(b"\0") if path]
    os.makedirs(folder, exist_ok=True)
    with Folder(folder) as inside:
        deleted = prepared(folder, paths, delete, inside)
    send(describe(folder, deleted=deleted), folder, paths)


def prepared(
    folder: bytes,
    paths: list[bytes],
    delete: bool,
    inside: Folder,
    spare: Callable[[bytes], bool] | None = None,
) -> int:
    """Make the folders; with `delete` remove what the laptop no longer has. Returns how many files went."""
    record = record_of(folder)
    former = _read(record)
    gone = former - set(paths) if delete else set()
    spared = {path for path in gone if spare and spare(path)}
    deleted = sum(inside.remove(path) for path in gone - spared)
    for path in {os.path.dirname(path): path for path in paths}.values():
        inside.make_parents(path)
    drop(folder, former - set(paths))
    known = set(paths) | spared if delete else former | set(paths)
    if known != former:
        write(record, b"\0".join(sorted(known)))
    return deleted


def gone(name: str, wanted: bytes) -> None:
    """Lists what the laptop sent earlier and no longer has, unless it changed here."""
    from sync.compare import changed_in

    folder = os.fsencode(os.path.expanduser(name))
    paths = _read(record_of(folder)) - set(wanted.split(b"\0"))
    changed = changed_in(folder)
    os.makedirs(folder, exist_ok=True)
    send(describe(folder, deleted=0), folder, sorted(path for path in paths if not changed(path)))


def remove(name: str, chosen: bytes) -> None:
    """Removes files that the laptop sent earlier and that have not changed here."""
    from sync.compare import changed_in, forget

    folder = os.fsencode(os.path.expanduser(name))
    record = record_of(folder)
    former, changed = _read(record), changed_in(folder)
    paths = {path for path in set(chosen.split(b"\0")) & former if not changed(path)}
    with Folder(folder) as inside:
        deleted = sum(inside.remove(path) for path in paths)
    write(record, b"\0".join(sorted(former - paths)))
    forget(folder, paths)
    send(describe(folder, deleted=deleted), folder, [])


def record_of(folder: bytes) -> str:
    return os.path.join(_RECORDS, hashlib.sha256(folder).hexdigest()[:16])


def _read(record: str) -> set[bytes]:
    try:
        with open(record, "rb") as file:
            return {path for path in file.read().split(b"\0") if path}
    except OSError:
        return set()


def write(path: str, content: bytes) -> None:
    """Atomically: a full disk keeps the old file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.new.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
