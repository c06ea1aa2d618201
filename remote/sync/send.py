"""Sends small files in one stream, for `pull`, without names, in the order of the request."""

from __future__ import annotations

import errno
import os
import stat
import sys
import zlib

_FASTEST = 1  # zlib's level


def send_files(name: str, wanted: bytes) -> None:
    """wanted: for each file SIZE PATH, terminated by NUL. Sends for each a line with its length, then its
    content.

    A file that has grown is cut at SIZE; a file that is missing or no longer a file has length -1.
    """
    folder = os.fsencode(os.path.expanduser(name))
    packer, out = zlib.compressobj(_FASTEST), sys.stdout.buffer
    for line in wanted.split(b"\0")[:-1]:
        size, path = line.split(b" ", 1)
        content = _read(os.path.join(folder, path), int(size))
        out.write(packer.compress(b"-1\n" if content is None else b"%d\n" % len(content) + content))
    out.write(packer.flush())
    out.flush()


def _read(path: bytes, size: int) -> bytes | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(size) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError as problem:
        if problem.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None
