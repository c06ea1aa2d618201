"""Files where there is no rsync at one end: the small ones in one stream, others by SFTP, several at a time.

A file is written under another name, which says of which version it is part, and renamed once it is whole; so
what a cut left is gone on with, and never taken for the file.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from gpu_box.errors import MachineError
from gpu_box.machine import stream
from gpu_box.machine.connection import Connection
from gpu_box.machine.selection import Entry
from gpu_box.machine.transfer import Transfer, disk_full

if TYPE_CHECKING:
    from gpu_box.machine.connection import SFTPClient, SFTPFile

# Channels side by side: small files cost round trips, not bandwidth. sshd allows 10 (MaxSessions).
_CHANNELS = 6
_CHUNK_BYTES = 32 * 1024  # what every SFTP server takes in one request
_WORTH_RESUMING_BYTES = 1024 * 1024  # less is sent again sooner than it is asked about
_FULL_BYTES = 1_000_000  # a disk with less is full, whatever the server calls it


def move(connection: Connection, transfer: Transfer) -> None:
    """Raises MachineUnreachable when the link breaks (what came stays), MachineError when the box says no."""
    progress = _Progress(transfer)
    largest_first = sorted(transfer.entries, key=lambda entry: -entry.size)
    if transfer.up and transfer.streams:
        small = [entry for entry in transfer.entries if entry.size <= stream.LARGEST_BYTES]
        stream.move(connection, transfer, small, progress.add)
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
                    (_upload if transfer.up else _download)(client, transfer, entry, progress.add)
                except _GivenUp:
                    return  # the channel that failed says why
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
    have = _size(lambda: client.stat(part).st_size) if entry.size > _WORTH_RESUMING_BYTES else 0
    with open(transfer.here / entry.path, "rb") as source, client.open(part, "ab" if have else "wb") as sink:
        sink.set_pipelined(True)
        source.seek(have)
        moved(have)
        _copy(source, sink, moved)
    client.chmod(part, entry.mode)
    client.utime(part, (entry.mtime, entry.mtime))
    client.posix_rename(part, final)


def _download(client: SFTPClient, transfer: Transfer, entry: Entry, moved: Callable[[int], None]) -> None:
    final = transfer.here / entry.path
    part = Path(_part_of(str(final), entry))
    final.parent.mkdir(parents=True, exist_ok=True)
    if entry.target:
        part.unlink(missing_ok=True)
        part.symlink_to(entry.target)
        part.replace(final)
        return
    have = _size(lambda: part.stat().st_size)
    with client.open(os.fsencode(f"{transfer.there}/{entry.path}"), "rb") as source, open(part, "ab") as sink:
        source.seek(have)
        moved(have)
        source.prefetch(entry.size)
        _copy(source, sink, moved)
    part.chmod(entry.mode)
    os.utime(part, (entry.mtime, entry.mtime))
    part.replace(final)


def _copy(source: IO[bytes] | SFTPFile, sink: IO[bytes] | SFTPFile, moved: Callable[[int], None]) -> None:
    while piece := source.read(_CHUNK_BYTES):
        sink.write(piece)
        moved(len(piece))


def _part_of(path: str, entry: Entry) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_name(f".{pure.name}.{entry.size}-{entry.mtime}.gpu-box-part"))


def _size(read: Callable[[], int | None]) -> int:
    try:
        return read() or 0
    except OSError:
        return 0


def _refused(
    connection: Connection, client: SFTPClient, transfer: Transfer, entry: Entry, error: OSError
) -> MachineError:
    """SFTP says "Failure" for most things, a full disk among them."""
    code = "import os, sys; s = os.statvfs(sys.argv[1]); print(s.f_bavail * s.f_frsize, s.f_favail)"
    result = connection.run(f"python3 -c '{code}' '{transfer.there}'", check=False, timeout_s=30)
    if transfer.up and error.errno is None and result.exit_status == 0:
        free_bytes, free_files = (int(word) for word in result.stdout.split()[-2:])
        if free_bytes < max(_FULL_BYTES, entry.size) or free_files == 0:
            return disk_full(connection.host, free_bytes=free_bytes, needed_bytes=0)
    return MachineError(
        f"{entry.path} cannot be copied: {error.strerror or error}", where=connection.host.name
    )
