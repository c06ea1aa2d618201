"""Receives small files in one stream: for each a record as in `answer`, then its content."""

from __future__ import annotations

import errno
import os
import sys
import zlib

from sync.inside import Folder

_LONGEST = 3 * 4096 + 64  # bytes of a record: two paths (PATH_MAX) and three numbers


def receive(name: str, stream: bytes) -> None:
    """stream: compressed by zlib. Prints PATH\\0WHY\\0 if it cannot write a file; a full disk ends it."""
    rest = memoryview(zlib.decompress(stream))
    with Folder(os.fsencode(os.path.expanduser(name))) as folder:
        while rest:
            record, target = bytes(rest[:_LONGEST]).split(b"\0", 2)[:2]
            kind, size, mtime, mode, path = record.split(b" ", 4)
            begin = len(record) + len(target) + 2
            content, rest = rest[begin : begin + int(size)], rest[begin + int(size) :]
            try:
                if kind == b"l":
                    folder.link(path, target)
                else:
                    folder.write(path, content, mtime=int(mtime), mode=int(mode, 8))
            except OSError as problem:
                if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise OSError(problem.errno, problem.strerror, os.fsdecode(path)) from None
                sys.stdout.buffer.write(path + b"\0" + str(problem.strerror).encode() + b"\0")
