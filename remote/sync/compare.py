"""Compares the laptop's files with those on the box and with the last push.

~/.gpu-box/sync/HASH.seen records for each pushed file the laptop's stamp and the state of the file on the
box. So an older file restored on the laptop is sent, and changes on the box are kept.

The answer for each file is STATE KIND SIZE MTIME MODE PATH\\0TARGET\\0, as in `answer` except for STATE.

STATE  same     neither has changed since the last push
       old      it changed on the laptop
       changed  it changed on the box
       both     it changed on both
       unknown  it was never pushed
       way      the box has a file in place of its folder, or a folder in its place
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator

from sync.answer import describe, record
from sync.inside import Folder
from sync.parts import drop
from sync.prepare import prepared, record_of, write

_SIGNS = {(True, True): b"same", (False, True): b"old", (True, False): b"changed", (False, False): b"both"}


def compare(name: str, wanted: bytes, delete: bool) -> None:
    """wanted: for each file STAMP PATH, terminated by NUL; a stamp has no spaces."""
    items = [item.split(b" ", 1) for item in wanted.split(b"\0") if item]
    stamps = {path: stamp for stamp, path in items}
    folder = os.fsencode(os.path.expanduser(name))
    os.makedirs(folder, exist_ok=True)
    seen = _read(folder)
    with Folder(folder) as inside:
        ready: set[bytes] = set()
        way = {path for path in stamps if not _prepare_way(folder, path, seen, inside, ready)}
        paths = [path for path in stamps if path not in way]
        deleted = prepared(folder, paths, delete, inside, changed_in(folder, seen))
    out = sys.stdout.buffer
    out.write(json.dumps(describe(folder, deleted=deleted)).encode() + b"\n")
    for path, stamp in stamps.items():
        found = b"" if path in way else record(folder, path)
        if path in way:
            out.write(b"way f 0 0 0 " + path + b"\0\0")
        elif found:
            known = seen.get(path)
            same = (known[0] == stamp, known[1] == _state(folder, path)) if known else None
            out.write((_SIGNS[same] if same else b"unknown") + b" " + found)
    out.flush()


def changed_in(
    folder: bytes, seen: dict[bytes, tuple[bytes, bytes]] | None = None
) -> Callable[[bytes], bool]:
    """Whether a pushed file has changed on the box since."""
    pushed = _read(folder) if seen is None else seen
    return lambda path: path in pushed and not _ours(folder, path, pushed)


def commit(name: str, pushed: bytes, fingerprint: str) -> None:
    """Record a push. pushed: for each file STAMP SIZE PATH, terminated by NUL; then = 0 FINGERPRINT.

    A file of another size or time is left out: it has not arrived, or has changed since. Without the end,
    nothing is recorded: the push failed. fingerprint: from older laptops, which send no end.
    """
    items = [item.split(b" ", 2) for item in pushed.split(b"\0")[:-1]]
    if not fingerprint:
        if not items or items[-1][0] != b"=":
            return
        fingerprint = items.pop()[2].decode()
    folder = os.fsencode(os.path.expanduser(name))
    seen = _read(folder)
    arrived = []
    for stamp, size, path in items:
        state = _state(folder, path)
        if state.startswith(b"l") or (state.startswith(b"f%d." % int(size)) and _times_agree(stamp, state)):
            seen[path] = stamp, state
            arrived.append(path)
    drop(folder, arrived)
    if arrived:  # written atomically: a full disk keeps the old record
        _write(folder, seen)
    if len(arrived) == len(items):
        write(os.path.expanduser("~/.gpu-box/project"), fingerprint.encode())


def _times_agree(stamp: bytes, state: bytes) -> bool:
    """In whole seconds, as some transfers set them. SFTP's are from 1970 to 2106."""
    if stamp == b"-":
        return True
    theirs, ours = int(stamp.partition(b".")[0], 16) // 10**9, int(state.split(b".")[1]) // 10**9
    return ours in (theirs, min(max(0, theirs), 2**32 - 1))


def forget(folder: bytes, paths: set[bytes]) -> None:
    """Drop the records of files that were removed here for the laptop."""
    seen = _read(folder)
    if seen.keys() & paths:
        _write(folder, {path: known for path, known in seen.items() if path not in paths})


def _write(folder: bytes, seen: dict[bytes, tuple[bytes, bytes]]) -> None:
    lines = [b"%s %s %s" % (stamp, state, path) for path, (stamp, state) in sorted(seen.items())]
    write(record_of(folder) + ".seen", b"\0".join(lines))


def digest(name: str, wanted: bytes) -> None:
    """wanted: paths, each terminated by NUL. Prints the SHA-256 of each, or "-"."""
    folder = os.fsencode(os.path.expanduser(name))
    for path in wanted.split(b"\0")[:-1]:
        content = hashlib.sha256()
        try:
            with open(os.open(os.path.join(folder, path), os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                for piece in iter(lambda: file.read(1 << 20), b""):
                    content.update(piece)
            print(content.hexdigest())
        except OSError:
            print("-")


def _prepare_way(
    folder: bytes, path: bytes, seen: dict[bytes, tuple[bytes, bytes]], inside: Folder, ready: set[bytes]
) -> bool:
    """Make room for `path` and its parent folders. False if that is not possible. ready: folders to keep."""
    parent = os.path.dirname(path)
    if parent in ready and _kind(folder, path) != "folder":
        return True
    try:
        if not _clear(folder, path, seen, inside):
            return False
        inside.make_parents(path)
    except OSError:  # a folder without write permission
        return False
    ready.add(parent)
    return True


def _clear(folder: bytes, path: bytes, seen: dict[bytes, tuple[bytes, bytes]], inside: Folder) -> bool:
    """Remove pushed files in the way of `path`. False if files made on the box are in the way."""
    parts = path.split(b"/")
    for count in range(1, len(parts)):
        above = b"/".join(parts[:count])
        kind = _kind(folder, above)
        if kind in ("", "link"):  # `make_parents` replaces a link
            break
        if kind == "file":
            if not _ours(folder, above, seen) or not inside.remove(above):
                return False
            break
    if _kind(folder, path) != "folder":
        return True
    files = []
    for parent, folders, names in os.walk(os.path.join(folder, path), topdown=False):
        links = [each for each in folders if os.path.islink(os.path.join(parent, each))]
        files += [os.path.relpath(os.path.join(parent, each), folder) for each in names + links]
    if not all(_ours(folder, each, seen) for each in files):
        return False
    for each in files:
        inside.remove(each)
    for parent, _, _ in os.walk(os.path.join(folder, path), topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(parent)
    return _kind(folder, path) != "folder"


def _ours(folder: bytes, path: bytes, seen: dict[bytes, tuple[bytes, bytes]]) -> bool:
    """Whether it was pushed and is unchanged."""
    return path in seen and seen[path][1] == _state(folder, path)


def _kind(folder: bytes, path: bytes) -> str:
    try:
        mode = os.lstat(os.path.join(folder, path)).st_mode
    except OSError:
        return ""
    return "link" if stat.S_ISLNK(mode) else "folder" if stat.S_ISDIR(mode) else "file"


def _state(folder: bytes, path: bytes) -> bytes:
    """A text without spaces that changes with the file."""
    return state(os.path.join(folder, path))


def state(full: bytes) -> bytes:
    try:
        found = os.lstat(full)
        if stat.S_ISLNK(found.st_mode):
            return b"l" + hashlib.sha256(os.readlink(full)).hexdigest().encode()
    except OSError:
        return b"-"
    kind = b"f" if stat.S_ISREG(found.st_mode) else b"d"
    return kind + b"%d.%d.%o" % (found.st_size, found.st_mtime_ns, found.st_mode & 0o7777)


def records(folder: bytes) -> Iterator[list[bytes]]:
    """STAMP, STATE and PATH of each pushed file. Raises ValueError for a broken record."""
    try:
        with open(record_of(folder) + ".seen", "rb") as file:
            lines = file.read().split(b"\0")
    except OSError:
        return
    for line in lines:
        if line:
            stamp, its_state, path = line.split(b" ", 2)
            yield [stamp, its_state, path]


def _read(folder: bytes) -> dict[bytes, tuple[bytes, bytes]]:
    try:
        return {path: (stamp, its_state) for stamp, its_state, path in records(folder)}
    except ValueError:  # every file counts as unknown: times and contents decide
        return {}
