"""Small files in one stream: for each a record as in `answer`, and its content. Each whole or not at all."""

from __future__ import annotations

import os
import zlib

from sync.inside import Folder

_LONGEST = 3 * 4096 + 64  # bytes of a record: two paths (PATH_MAX) and three numbers


def receive(name: str, stream: bytes) -> None:
    """stream: compressed by zlib. Raises OSError that names the file which cannot be written."""
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
                raise OSError(problem.errno, problem.strerror, os.fsdecode(path)) from None
