"""Write into one folder and nowhere else, whatever names and links the other end sends.

Both ends use it: the box when it receives, the laptop when it pulls (gpu_box.machine.files.local_folder).
Folders are opened one below the other from the root and never through a link (O_NOFOLLOW), so no check of a
path is outdated when the path is used. Names are bytes, relative to the root, "/" between.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_PERMISSIONS = 0o777  # no setuid, setgid or sticky bit crosses over
_LONGEST_PATH = 4095  # bytes: Linux's PATH_MAX without its NUL


def is_normal(path: bytes) -> bool:
    """Whether it names a file below its folder, in one way only: no empty, `.` or `..` part, no NUL."""
    parts = path.split(b"/")
    return len(path) <= _LONGEST_PATH and b"\0" not in path and not {b"", b".", b".."} & set(parts)


def is_printable(path: bytes) -> bool:
    """Whether it has no control character, which a terminal would obey."""
    text = path.decode("utf-8", "surrogateescape")
    return not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in text)


def leads_inside(path: bytes, target: bytes) -> bool:
    """Whether a link at `path` leads below the root, whatever other links are or come there.

    `..` may only be at the beginning of the target: `folder/..` is elsewhere once `folder` is a link.
    """
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    up = 0
    while up < len(parts) and parts[up] == b"..":
        up += 1
    is_path = 0 < len(target) <= _LONGEST_PATH and b"\0" not in target and target[:1] != b"/"
    return is_path and b".." not in parts[up:] and up <= path.count(b"/")


class Folder:
    """The folder at `root`, which may itself be a link: its owner chose it. For a `with` block.

    Methods raise OSError with the file's name, for names and links that lead outside (EPERM), too.
    """

    def __init__(self, root: bytes) -> None:
        self._root = os.path.realpath(root)
        self._fd = os.open(root, _FOLDER)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def look(self, path: bytes) -> tuple[os.stat_result, bytes] | None:
        """What is there, and a link's target; None if nothing is, or only by way of a link."""
        try:
            with self._parent(path, make=False) as (parent, name):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                is_link = stat.S_ISLNK(found.st_mode)
                return found, os.readlink(name, dir_fd=parent) if is_link else b""
        except OSError:
            return None

    def make_parents(self, path: bytes) -> None:
        """A link in the place of one of them is replaced; a file is not."""
        with self._parent(path, make=True):
            pass

    @contextlib.contextmanager
    def writing(self, path: bytes, *, size: int, mtime: int, mode: int) -> Iterator[BinaryIO]:
        """A file that gets its name at the end of the block. It begins with what a cut left of it."""
        with self._parent(path, make=True) as (parent, name):
            part = b".%s.%d-%d.gpu-box-part" % (name, size, mtime)
            with os.fdopen(_open_part(parent, part, size), "ab") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode & _PERMISSIONS)
                os.utime(file.fileno(), (mtime, mtime))
            os.replace(part, name, src_dir_fd=parent, dst_dir_fd=parent)

    def write(self, path: bytes, content: bytes | memoryview, *, mtime: int, mode: int) -> None:
        """A small file, whole or not at all."""
        with self.writing(path, size=len(content), mtime=mtime, mode=mode) as file:
            file.truncate(0)
            file.write(content)

    def link(self, path: bytes, target: bytes) -> None:
        if not leads_inside(path, target):
            raise OSError(errno.EPERM, "the link leads out of the folder", os.fsdecode(path))
        with self._parent(path, make=True) as (parent, name):
            part = b".%s.gpu-box-part" % name
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=parent)
            os.symlink(target, part, dir_fd=parent)
            os.replace(part, name, src_dir_fd=parent, dst_dir_fd=parent)

    def ends_inside(self, path: bytes, target: bytes) -> bool:
        """Whether a link would lead below the root by way of the links that are there now."""
        end = os.path.realpath(os.path.join(self._root, os.path.dirname(path), target))
        return os.path.commonpath([self._root, end]) == self._root

    def remove(self, path: bytes) -> bool:
        """A file, and the folders that are empty then. False if it is not there, or only by way of a link."""
        try:
            with self._parent(path, make=False) as (parent, name):
                os.unlink(name, dir_fd=parent)
            removed = True
        except OSError:
            removed = False
        with contextlib.suppress(OSError):  # not empty: stays
            while b"/" in path:
                path = os.path.dirname(path)
                with self._parent(path, make=False) as (parent, name):
                    os.rmdir(name, dir_fd=parent)
        return removed

    @contextlib.contextmanager
    def _parent(self, path: bytes, *, make: bool) -> Iterator[tuple[int, bytes]]:
        if not is_normal(path) or not is_printable(path):
            raise OSError(errno.EPERM, "a file of this name is refused", os.fsdecode(path))
        *parents, name = path.split(b"/")
        opened = os.dup(self._fd)
        try:
            for each in parents:
                below = _enter(opened, each, make)
                os.close(opened)
                opened = below
            yield opened, name
        finally:
            os.close(opened)


def _enter(parent: int, name: bytes, make: bool) -> int:
    while True:
        try:
            return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
        except OSError as problem:
            if not make:
                raise
            if problem.errno != errno.ENOENT:
                _make_way(parent, name, problem)
        with contextlib.suppress(FileExistsError):  # another thread was faster
            os.mkdir(name, dir_fd=parent)


def _make_way(parent: int, name: bytes, problem: OSError) -> None:
    """Remove a link where a folder should be. Raises for anything else."""
    with contextlib.suppress(FileNotFoundError):  # another thread was faster
        kind = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        if stat.S_ISLNK(kind):
            os.unlink(name, dir_fd=parent)
        elif not stat.S_ISDIR(kind):
            raise FileExistsError(errno.EEXIST, "a file is in the way of a folder", os.fsdecode(name))
        elif problem.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise problem


def _open_part(parent: int, part: bytes, size: int) -> int:
    """The rest of an earlier try if it is a plain file with one name; else a new one in its place."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with contextlib.suppress(OSError):  # a link, a pipe without a reader
        opened = os.open(part, flags | os.O_NONBLOCK, 0o600, dir_fd=parent)
        found = os.fstat(opened)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size <= size:
            return opened
        os.close(opened)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part, dir_fd=parent)
    return os.open(part, flags | os.O_EXCL, 0o600, dir_fd=parent)
