"""Small files in one stream: for each a record as in `answer`, and its content. Each whole or not at all."""

from __future__ import annotations

import os
import zlib


def receive(name: str, stream: bytes) -> None:
    """stream: compressed by zlib. Raises OSError that names the file which cannot be written."""
    folder, rest = os.fsencode(os.path.expanduser(name)), memoryview(zlib.decompress(stream))
    while rest:
        head = bytes(rest[:_LONGEST]).split(b"\0", 2)[:2]
        kind, size, mtime, mode, path = head[0].split(b" ", 4)
        begin = len(head[0]) + len(head[1]) + 2
        content, rest = rest[begin : begin + int(size)], rest[begin + int(size) :]
        try:
            _put(os.path.join(folder, path), kind, head[1], content, int(mtime), int(mode, 8))
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, os.fsdecode(path)) from None


_LONGEST = 3 * 4096 + 64  # bytes of a record: two paths (PATH_MAX) and three numbers


def _put(full: bytes, kind: bytes, target: bytes, content: memoryview, mtime: int, mode: int) -> None:
    parent, name = os.path.split(full)
    part = os.path.join(parent, b".%s.%d-%d.gpu-box-part" % (name, len(content), mtime))
    if kind == b"l":
        if os.path.lexists(part):
            os.unlink(part)
        os.symlink(target, part)
    else:
        with open(part, "wb") as file:
            file.write(content)
        os.chmod(part, mode)
        os.utime(part, (mtime, mtime))
    os.replace(part, full)
