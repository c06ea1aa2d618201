"""Files where there is no rsync at one end: the small ones in one stream, others by SFTP, several at a time.

A file is written under another name, which says of which version it is part, and renamed once it is whole; so
what a cut left is gone on with, and never taken for the file.
"""

from __future__ import annotations

import contextlib
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

from gpu_box.errors import MachineError
from gpu_box.machine.files import stream
from gpu_box.machine.files.local_folder import Folder
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.files.transfer import Transfer, disk_full
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import PYTHON, quote

if TYPE_CHECKING:
    from gpu_box.machine.ssh.connection import SFTPClient, SFTPFile

# Channels side by side: small files cost round trips, not bandwidth. sshd allows 10 (MaxSessions).
_CHANNELS = 6
_CHUNK_BYTES = 32 * 1024  # what every SFTP server takes in one request
_WORTH_RESUMING_BYTES = 1024 * 1024  # less is sent again sooner than it is asked about
_FULL_BYTES = 1_000_000  # a disk with less is full, whatever the server calls it


_Copy = Callable[["SFTPClient", Transfer, Entry, Callable[[int], None]], None]


def move(connection: Connection, transfer: Transfer) -> None:
    """Raises MachineUnreachable when the link breaks (what came stays), MachineError when the box says no."""
    _move(connection, transfer, transfer.entries, _upload, stream.move)


def fetch(connection: Connection, transfer: Transfer, folder: Folder) -> None:
    """Into `folder`, the links last. Raises as `move` does."""

    def copy(client: SFTPClient, transfer: Transfer, entry: Entry, moved: Callable[[int], None]) -> None:
        _download(client, folder, transfer, entry, moved)

    files = [entry for entry in transfer.entries if not entry.target]
    _move(connection, transfer, files, copy, partial(stream.fetch, folder=folder))
    for entry in transfer.entries:
        if entry.target:
            try:
                folder.link(os.fsencode(entry.path), os.fsencode(entry.target))
            except OSError as error:
                raise _not_copied(connection, entry, error) from error


def _move(
    connection: Connection,
    transfer: Transfer,
    entries: Sequence[Entry],
    copy: _Copy,
    in_one_stream: Callable[[Connection, Transfer, Sequence[Entry], Callable[[int], None]], None],
) -> None:
    progress = _Progress(transfer)
    largest_first = sorted(entries, key=lambda entry: -entry.size)
    if transfer.streams:
        small = [entry for entry in entries if entry.size <= stream.LARGEST_BYTES]
        in_one_stream(connection, transfer, small, progress.add)
        largest_first = largest_first[: len(largest_first) - len(small)]
    waiting = iter(largest_first)
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
                except _GivenUp:
                    return  # the channel that failed says why
                except TimeoutError:  # `sftp` says of it what there is to say
                    progress.given_up = True
                    raise
                except OSError as error:
                    progress.given_up = True
                    if error.errno is None and not connection.alive:
                        raise EOFError from error
                    raise _refused(connection, client, transfer, entry, error) from error
                except BaseException:
                    progress.given_up = True
                    raise

    with ThreadPoolExecutor(_CHANNELS) as pool:
        works = [pool.submit(work) for _ in range(min(_CHANNELS, len(largest_first)))]
        try:
            for each in works:
                each.result()
        except BaseException:
            progress.given_up = True
            raise


class _GivenUp(Exception):
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
        self._transfer.tell(percent, took * (100 - percent) / percent if percent and took > 1 else None)


def _upload(client: SFTPClient, transfer: Transfer, entry: Entry, moved: Callable[[int], None]) -> None:
    final = os.fsencode(f"{transfer.there}/{entry.path}")
    part = os.fsencode(_part_of(f"{transfer.there}/{entry.path}", entry))
    if entry.target:
        with contextlib.suppress(OSError):
            client.remove(part)
        client.symlink(os.fsencode(entry.target), part)
        client.posix_rename(part, final)
        return
    have = _size(client, part) if entry.size > _WORTH_RESUMING_BYTES else 0
    with open(transfer.here / entry.path, "rb") as source, client.open(part, "ab" if have else "wb") as sink:
        sink.set_pipelined(True)
        source.seek(have)
        moved(have)
        _copy(source, sink, moved)
    client.chmod(part, entry.mode & 0o777)
    client.utime(part, (entry.mtime, entry.mtime))
    client.posix_rename(part, final)


def _download(
    client: SFTPClient, folder: Folder, transfer: Transfer, entry: Entry, moved: Callable[[int], None]
) -> None:
    """No more than `entry.size` bytes, whatever the box sends."""
    path = os.fsencode(entry.path)
    try:
        opened = client.open(os.fsencode(f"{transfer.there}/{entry.path}"), "rb")
    except FileNotFoundError:  # gone meanwhile: fine
        return
    with (
        opened as source,
        folder.writing(path, size=entry.size, mtime=entry.mtime, mode=entry.mode) as sink,
    ):
        have = sink.tell()
        source.seek(have)
        moved(have)
        source.prefetch(entry.size)
        left = entry.size - have
        while left and (piece := source.read(min(left, _CHUNK_BYTES))):
            sink.write(piece[:left])
            moved(len(piece))
            left -= len(piece[:left])


def _copy(source: IO[bytes], sink: SFTPFile, moved: Callable[[int], None]) -> None:
    while piece := source.read(_CHUNK_BYTES):
        sink.write(piece)
        moved(len(piece))


def _part_of(path: str, entry: Entry) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_name(f".{pure.name}.{entry.size}-{entry.mtime}.gpu-box-part"))


def _size(client: SFTPClient, part: bytes) -> int:
    """What came before, in bytes. Not through a link: it is removed."""
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
) -> MachineError:
    """SFTP says "Failure" for most things, a full disk among them."""
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
    said = str(error.strerror or error)[:300]  # the box's own words
    return MachineError(f"{entry.shown} cannot be copied: {said}", where=connection.host.name)
