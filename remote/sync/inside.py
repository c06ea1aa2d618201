"""Writes into one folder and never outside it, whatever names and links the other end sends.

Used by the box when it receives and by the laptop when it pulls (gpu_box.machine.files.shared). Opens
each folder relative to its parent and never through a link (O_NOFOLLOW), so that a path cannot change between
check and use. Names are bytes, relative to the root, separated by "/".
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_PERMISSIONS = 0o777  # setuid, setgid and sticky bits are dropped
_LONGEST_NAME = 255  # bytes, on Linux's file systems
_LONGEST_PATH = 4095  # bytes: Linux's PATH_MAX without its NUL


def is_normal(path: bytes) -> bool:
    """Whether the path is relative and normalised: no empty, `.` or `..` part, no NUL."""
    parts = path.split(b"/")
    return (
        len(path) <= _LONGEST_PATH
        and max(map(len, parts)) <= _LONGEST_NAME
        and b"\0" not in path
        and not {b"", b".", b".."} & set(parts)
    )


def is_printable(path: bytes) -> bool:
    """Whether it has no control character."""
    text = path.decode("utf-8", "surrogateescape")
    return not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in text)


def leads_inside(path: bytes, target: bytes) -> bool:
    """Whether a link at `path` stays below the root, whatever other links exist.

    `..` is allowed only at the start of the target, because `folder/..` leads elsewhere if `folder` is a
    link.
    """
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    up = 0
    while up < len(parts) and parts[up] == b"..":
        up += 1
    is_path = 0 < len(target) <= _LONGEST_PATH and b"\0" not in target and target[:1] != b"/"
    return is_path and b".." not in parts[up:] and up <= path.count(b"/")


class Folder:
    """The folder at `root`, which may itself be a link. A context manager.

    Methods raise OSError with the file's name, and EPERM for names and links that lead outside.
    """

    def __init__(self, root: bytes) -> None:
        self._root = os.path.realpath(root)
        self._fd = os.open(root, _FOLDER)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def look(self, path: bytes) -> tuple[os.stat_result, bytes] | None:
        """(lstat result, link target or b"") of a file; None if missing or behind a link."""
        try:
            with self._parent(path, make=False) as (parent, name):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                is_link = stat.S_ISLNK(found.st_mode)
                return found, os.readlink(name, dir_fd=parent) if is_link else b""
        except OSError:
            return None

    def make_parents(self, path: bytes) -> None:
        """Make the parent folders. Replaces links among them, but not files."""
        with self._parent(path, make=True):
            pass

    @contextlib.contextmanager
    def writing(self, path: bytes, *, size: int, mtime: int, mode: int) -> Iterator[BinaryIO]:
        """Open a file that gets its name at the end of the block. Resumes after an interrupted transfer."""
        with self._parent(path, make=True) as (parent, name):
            part = _part(name, b".%d-%d" % (size, mtime))
            with os.fdopen(_open_part(parent, part, size), "ab") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode & _PERMISSIONS)
                os.utime(file.fileno(), (mtime, mtime))
            os.replace(part, name, src_dir_fd=parent, dst_dir_fd=parent)

    def discard(self, path: bytes, *, size: int, mtime: int) -> None:
        """Remove what an unfinished `writing` with these arguments has left."""
        with contextlib.suppress(OSError), self._parent(path, make=False) as (parent, name):
            os.unlink(_part(name, b".%d-%d" % (size, mtime)), dir_fd=parent)

    def write(self, path: bytes, content: bytes | memoryview, *, mtime: int, mode: int) -> None:
        """Write a small file atomically."""
        with self.writing(path, size=len(content), mtime=mtime, mode=mode) as file:
            file.truncate(0)
            file.write(content)

    def link(self, path: bytes, target: bytes) -> None:
        if not leads_inside(path, target):
            raise OSError(errno.EPERM, "the link leads out of the folder", os.fsdecode(path))
        with self._parent(path, make=True) as (parent, name):
            part = _part(name, b"")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=parent)
            os.symlink(target, part, dir_fd=parent)
            os.replace(part, name, src_dir_fd=parent, dst_dir_fd=parent)

    def ends_inside(self, path: bytes, target: bytes) -> bool:
        """Whether a link would lead below the root, following the existing links."""
        end = os.path.realpath(os.path.join(self._root, os.path.dirname(path), target))
        return os.path.commonpath([self._root, end]) == self._root

    def remove(self, path: bytes) -> bool:
        """Remove a file and the folders that become empty. False if it is missing or behind a link."""
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


def part_name(name: bytes) -> bytes:
    """The beginning of an unfinished file's name, also of one whose own name is as long as a name may be."""
    if len(name) > _LONGEST_NAME // 2:
        name = name[: _LONGEST_NAME // 4] + hashlib.sha256(name).hexdigest()[:16].encode()
    return b"." + name


def _part(name: bytes, version: bytes) -> bytes:
    return b"%s%s.gpu-box-part" % (part_name(name), version)


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
    """Open an earlier partial file if it is a regular file with one name, otherwise a new one."""
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
