"""Transfer without rsync: small files in one stream, others by SFTP, several at a time.

A file is written under a temporary name that identifies its version, and renamed when complete. So an
interrupted transfer resumes, and a partial file is never mistaken for the file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from gpu_box.errors import GpuBoxError, MachineError
from gpu_box.machine.files import stream
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.files.shared import Folder
from gpu_box.machine.files.transfer import Transfer, disk_full, local_disk_full
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.sftp_limits import pieces
from gpu_box.machine.ssh.shell import PYTHON, quote

if TYPE_CHECKING:
    from gpu_box.machine.ssh.connection import SFTPClient, SFTPFile

_CHANNELS = 6  # in parallel; sshd allows 10 (MaxSessions)
_CHUNK_BYTES = 32 * 1024  # the largest request that every SFTP server accepts
_FILE_ERRORS = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL,
     errno.ENAMETOOLONG, errno.ELOOP}
)  # fmt: skip
_MOST_FAILED = 100  # more failed files have a common cause
_LATEST = 2**32 - 1  # seconds since 1970, the largest time in SFTP version 3
_LONGEST_NAME = 255  # bytes
_FULL_BYTES = 1_000_000  # a disk with less counts as full, whatever error the server gives


_Copy = Callable[["SFTPClient", Transfer, Entry, Callable[[int], None]], None]


def move(connection: Connection, transfer: Transfer) -> None:
    """Raises MachineUnreachable if the link breaks (arrived files stay), MachineError if the box refuses."""
    _move(connection, transfer, transfer.entries, _upload, stream.move)


def fetch(connection: Connection, transfer: Transfer, folder: Folder) -> None:
    """Download into `folder`, links last. Raises as `move` does."""

    def copy(client: SFTPClient, transfer: Transfer, entry: Entry, moved: Callable[[int], None]) -> None:
        try:
            _download(client, folder, transfer, entry, moved)
        except _Changed:
            folder.discard(os.fsencode(entry.path), size=entry.size, mtime=entry.mtime)
            raise

    files = [entry for entry in transfer.entries if not entry.target]
    _move(connection, transfer, files, copy, partial(stream.fetch, folder=folder))
    for entry in transfer.entries:
        if entry.target:
            try:
                folder.link(os.fsencode(entry.path), os.fsencode(entry.target))
            except OSError as error:
                transfer.failed[entry.path] = str(error.strerror or error)


def _move(
    connection: Connection,
    transfer: Transfer,
    entries: Sequence[Entry],
    copy: _Copy,
    in_one_stream: Callable[[Connection, Transfer, Sequence[Entry], Callable[[int], None]], None],
) -> None:
    progress = _Progress(transfer)
    # The stream does not say whether a file has changed.
    most = -1 if transfer.whole else stream.LARGEST_BYTES
    small = [entry for entry in entries if entry.size <= most]
    in_one_stream(connection, transfer, small, progress.add)
    large = [entry for entry in entries if entry.size > most]
    waiting = iter(sorted(large, key=lambda entry: -entry.size))
    lock = threading.Lock()

    def work() -> None:
        with connection.sftp() as client:
            while True:
                with lock:
                    entry = next(waiting, None)
                if entry is None or progress.given_up:
                    return
                try:
                    copy(client, transfer, entry, progress.add)
                except _Changed:
                    continue
                except _GivenUp:
                    return  # another channel reports the error
                except TimeoutError:  # `Connection.sftp` describes it
                    progress.given_up = True
                    raise
                except OSError as error:
                    if error.errno in _FILE_ERRORS and len(transfer.failed) < _MOST_FAILED:
                        transfer.failed[entry.path] = str(error.strerror or error)[:100]
                        continue
                    progress.given_up = True
                    if error.errno is None and not connection.alive:
                        raise EOFError from error
                    raise _refused(connection, client, transfer, entry, error) from error
                except BaseException:
                    progress.given_up = True
                    raise

    with ThreadPoolExecutor(_CHANNELS) as pool:
        works = [pool.submit(work) for _ in range(min(_CHANNELS, len(large)))]
        try:
            for each in works:
                each.result()
        except BaseException:
            progress.given_up = True
            raise


class _GivenUp(Exception):
    pass


class _Changed(Exception):  # noqa: N818 - no error: the next pull takes the file
    pass


class _Progress:
    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._lock = threading.Lock()
        self._bytes = 0
        self._began = time.monotonic()
        self._shown = -1
        self.given_up = False

    def add(self, count: int) -> None:
        """Raises _GivenUp once another channel has failed."""
        if self.given_up:
            raise _GivenUp
        with self._lock:
            self._bytes += count
            percent = 100 * self._bytes // max(1, self._transfer.total_bytes)
            if percent == self._shown:
                return
            self._shown = percent
        took = time.monotonic() - self._began
        self._transfer.show(percent, took * (100 - percent) / percent if percent and took > 1 else None)


def _upload(client: SFTPClient, transfer: Transfer, entry: Entry, moved: Callable[[int], None]) -> None:
    final = os.fsencode(f"{transfer.there}/{entry.path}")
    part = os.fsencode(_part_of(f"{transfer.there}/{entry.path}", entry))
    have = _size(client, part)
    try:
        opened = (transfer.here / entry.path).open("rb")
    except FileNotFoundError:  # deleted meanwhile: fine
        return
    with opened as source, client.open(part, "ab" if have else "wb") as sink:
        sink.set_pipelined(True)
        source.seek(have)
        moved(have)
        _copy(source, sink, moved)
    client.chmod(part, entry.mode & 0o777)
    shown = min(max(0, entry.mtime), _LATEST)
    client.utime(part, (shown, shown))
    client.posix_rename(part, final)


def _download(
    client: SFTPClient, folder: Folder, transfer: Transfer, entry: Entry, moved: Callable[[int], None]
) -> None:
    """Reads at most `entry.size` bytes, even if the box sends more.

    Raises _Changed, and leaves the file here as it is, if it must be whole and has changed meanwhile.
    """
    path = os.fsencode(entry.path)
    try:
        opened = client.open(os.fsencode(f"{transfer.there}/{entry.path}"), "rb")
    except FileNotFoundError:  # deleted meanwhile: fine
        return
    with opened as source, folder.writing(path, size=entry.size, mtime=entry.mtime, mode=entry.mode) as sink:
        have = sink.tell()
        moved(have)
        for piece in pieces(source, have, entry.size):
            sink.write(piece)
            moved(len(piece))
        now = source.stat() if transfer.whole else None
        if now and (now.st_size, int(now.st_mtime or 0)) != (entry.size, entry.mtime):
            raise _Changed


def _copy(source: IO[bytes], sink: SFTPFile, moved: Callable[[int], None]) -> None:
    while piece := source.read(_CHUNK_BYTES):
        sink.write(piece)
        moved(len(piece))


def _part_of(path: str, entry: Entry) -> str:
    pure = PurePosixPath(path)
    name = os.fsencode(pure.name)
    if len(name) > _LONGEST_NAME // 2:
        name = name[: _LONGEST_NAME // 4] + hashlib.sha256(name).hexdigest()[:16].encode()
    return str(pure.with_name(f".{os.fsdecode(name)}.{entry.size}-{entry.mtime}.gpu-box-part"))


def _size(client: SFTPClient, part: bytes) -> int:
    """Bytes of an earlier transfer. A link in its place is removed, not followed."""
    try:
        found = client.lstat(part)
        if stat.S_ISREG(found.st_mode or 0):
            return found.st_size or 0
        client.remove(part)
    except OSError:
        pass
    return 0


def _refused(
    connection: Connection, client: SFTPClient, transfer: Transfer, entry: Entry, error: OSError
) -> GpuBoxError:
    """The cause of an SFTP error: the protocol says "Failure" for most, including a full disk."""
    if not transfer.up and (full := local_disk_full(error, transfer.here)):
        return full
    code = "import os, sys; s = os.statvfs(sys.argv[1]); print(s.f_bavail * s.f_frsize, s.f_favail)"
    command = f"{PYTHON} {quote('-c', code, transfer.there)}"
    result = connection.run(command, check=False, timeout_s=30)
    free = re.search("([0-9]{1,19}) ([0-9]{1,19})$", result.stdout.strip())
    if transfer.up and error.errno is None and free:
        free_bytes, free_files = int(free[1]), int(free[2])
        if free_bytes < max(_FULL_BYTES, entry.size) or free_files == 0:
            return disk_full(connection.host, free_bytes=free_bytes, needed_bytes=0)
    return _not_copied(connection, entry, error)


def _not_copied(connection: Connection, entry: Entry, error: OSError) -> MachineError:
    said = str(error.strerror or error)[:300]  # text from the box
    return MachineError(f"{entry.shown} cannot be copied: {said}", where=connection.host.name)
