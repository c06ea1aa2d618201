"""Lists the files that match patterns and that no program is writing, for `run --pull`."""

from __future__ import annotations

import glob
import os
import stat
import time
from collections.abc import Iterator

from sync.answer import describe, send

SETTLED_S = 2.0  # since its last change: times are whole seconds in the answer


def whole(name: str, patterns: bytes, *, ended: bool) -> None:
    """patterns: as glob(7), with ** for any folders; each terminated by NUL. A folder stands for all in it.

    ended: the job has ended, so that a file that has just changed is complete, too.
    """
    folder = os.fsencode(os.path.expanduser(name))
    os.lstat(folder)  # raises FileNotFoundError for the user
    paths = sorted({path for pattern in patterns.split(b"\0")[:-1] for path in _matching(folder, pattern)})
    changed_until = time.time() - (0.0 if ended else SETTLED_S)
    written = _being_written()
    found = [path for path in paths if _is_whole(os.path.join(folder, path), changed_until, written)]
    send(describe(folder, single=False), folder, found)


def _matching(folder: bytes, pattern: bytes) -> Iterator[bytes]:
    for path in glob.iglob(os.path.join(glob.escape(folder), pattern), recursive=True):
        if os.path.isdir(path) and not os.path.islink(path):
            for parent, _, names in os.walk(path):
                yield from (os.path.relpath(os.path.join(parent, each), folder) for each in names)
        else:
            yield os.path.relpath(path, folder)


def _is_whole(path: bytes, changed_until: float, written: set[tuple[int, int]]) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if stat.S_ISLNK(found.st_mode):
        return True
    regular = stat.S_ISREG(found.st_mode)
    return regular and found.st_mtime <= changed_until and (found.st_dev, found.st_ino) not in written


def _being_written() -> set[tuple[int, int]]:
    """(device, inode) of each file that a process of this user has open for writing; without /proc none."""
    found = set()
    for info in glob.iglob("/proc/[0-9]*/fdinfo/[0-9]*"):
        try:
            with open(info) as file:
                flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
            if flags & os.O_ACCMODE == os.O_RDONLY:
                continue
            status = os.stat(info.replace("/fdinfo/", "/fd/"))
        except (OSError, ValueError, StopIteration):
            continue
        found.add((status.st_dev, status.st_ino))
    return found
