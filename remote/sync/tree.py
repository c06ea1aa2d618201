"""A digest of what `find` prints of a folder, used on the box and on the laptop."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence

_FOLDERS = [")", "-prune", "-o", "-printf", r"%p/\0"]
_LEVELS = 3
_LEAST, _MOST = 16, 2000  # folders, for processes to share
_PROCESSES = 4


class Find:
    """Begins at once, in several processes. left_out: names of folders whose content does not count, as that
    of ./results. mtime: needed where a file system has no ctime (FAT). Raises OSError.
    """

    def __init__(self, folder: bytes, left_out: Sequence[str], *, mtime: bool = False) -> None:
        # A file's line changes with its content, mode or owner (ctime), or if another takes its name (inode).
        line = rf"%p\0%C@ {'%T@ ' * mtime}%i %s\0"
        names = [word for name in left_out for word in ("-o", "-name", name)]
        expression = ["!", "-type", "d", "-printf", line, "-o", "(", "-path", "./results", *names, *_FOLDERS]
        self._finds = []
        with contextlib.ExitStack() as ends:
            for where in _shares(folder, {os.fsencode(name) for name in left_out}):
                # A file: a pipe would make it wait for the interpreter.
                said = ends.enter_context(tempfile.TemporaryFile())
                find = subprocess.Popen(
                    ["find", *where, *expression],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.DEVNULL,
                )
                self._finds.append((find, said))
            ends.pop_all()

    def digest(self) -> str:
        """ "" if `find` cannot read all of the folder. For one call."""
        digest, complete = hashlib.sha256(), True
        for find, said in self._finds:
            complete = find.wait() == 0 and complete
            with said:
                said.seek(0)
                while piece := said.read(1 << 20):
                    digest.update(piece)
        return digest.hexdigest() if complete else ""


def _shares(folder: bytes, left_out: set[bytes]) -> list[list[bytes]]:
    """Where each `find` begins: one at the upper levels of the tree, the others each at some of the folders
    below.
    """
    upper, lower = [], [b"."]
    for _ in range(_LEVELS):
        if len(lower) < _LEAST:
            upper += lower
            lower = [below for each in lower for below in _folders(folder, each, left_out)]
    count = min(_PROCESSES, os.cpu_count() or 1)
    if not _LEAST <= len(lower) <= _MOST or count == 1:
        return [[b"."]]
    return [[*upper, b"-maxdepth", b"1"], *(lower[first::count] for first in range(count))]


def _folders(folder: bytes, path: bytes, left_out: set[bytes]) -> list[bytes]:
    with os.scandir(os.path.join(folder, path)) as found:
        names = [item.name for item in found if item.is_dir(follow_symlinks=False)]
    paths = [os.path.join(path, name) for name in sorted(names) if name not in left_out]
    return [each for each in paths if each != b"./results"]
