"""Atomic file writes, and reads of our own files: regular ones of this user alone."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_LARGEST_BYTES = 16_000_000  # of a file of our own
_PIPE_PATIENCE_S = 5.0  # until a named pipe has a writer
_POLL_S = 0.02


def write_whole(
    path: Path, text: str | bytes, *, mode: int | None = 0o600, durable: bool = False, replace: bool = True
) -> None:
    """Write the file atomically, so that a reader or another writer never sees a part of it. Raises OSError.

    mode: None leaves it to the umask. durable: survive a power failure right afterwards. replace: False keeps
    an existing file.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            # A path in it need not be UTF-8.
            file.write(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if replace or not _linked(temporary, path):
            temporary.replace(path)
    finally:  # also after Ctrl-C
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """With its parents; those that are missing are for this user alone, whatever the umask is."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def read_given(path: Path, most: int) -> bytes:
    """The first `most` bytes of a file that the user named, which may be a pipe (`<(...)`, a secret .env).

    Raises OSError; TimeoutError for a named pipe without a writer. A writer may take its time.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # A named pipe without a writer reads as if it were at its end; a nameless one, of
        # `<(...)`, is.
        named = not str(path).startswith(("/dev/", "/proc/"))
        may_begin = named and stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        deadline = time.monotonic() + _PIPE_PATIENCE_S
        content = b""
        while len(content) < most:
            try:
                part = os.read(descriptor, most - len(content))
            except BlockingIOError:  # it has a writer, which has nothing yet
                may_begin = False
                time.sleep(_POLL_S)
                continue
            content += part
            if part:
                may_begin = False
            elif not may_begin:
                break
            elif time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "it is a pipe without a writer", str(path))
            else:
                time.sleep(_POLL_S)
        return content
    finally:
        os.close(descriptor)


def read_own(path: Path) -> str:
    """Raises OSError for anything but a regular file of this user's, ValueError for what is no text."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if found.st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "belongs to another user", str(path))
        content = file.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content.decode("utf-8")


def read_own_json(path: Path) -> Any:
    """Raises OSError as `read_own`, ValueError for what is no JSON."""
    try:
        return json.loads(read_own(path))
    except RecursionError:
        raise ValueError("nested too deep") from None


def _linked(temporary: Path, path: Path) -> bool:
    """Whether a hard link settled it, which never replaces a file. False if links are unsupported."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True
