"""Small files without rsync: many in one stream; by SFTP each costs five round trips.

The box's ends are remote/sync/receive.py and send.py.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence

from gpu_box.errors import MachineError
from gpu_box.machine.files.local_folder import Folder
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.files.transfer import Transfer, disk_full, free_bytes
from gpu_box.machine.ssh.connection import STALLED_S, Connection
from gpu_box.machine.ssh.shell import PYTHON, quote

LARGEST_BYTES = 1024 * 1024  # of a file: a larger one is worth going on with where it was cut
_AT_ONCE_BYTES = 16 * 1024 * 1024  # held in memory, here and there
_AT_ONCE = 20_000  # files: a slow disk writes so many well within STALLED_S
_LENGTH_BYTES = 16  # a file's length in its line, at most
_FASTEST = 1  # zlib's level: text halves, and the link is not kept waiting


def move(
    connection: Connection, transfer: Transfer, entries: Sequence[Entry], moved: Callable[[int], None]
) -> None:
    """moved: gets the bytes that came. Raises as `sftp.move` does."""
    command = f"cd ~/.gpu-box/remote && exec {PYTHON} -m sync receive " + quote(transfer.there)
    for several in _portions(entries):
        stream = zlib.compress(b"".join(_record(transfer, entry) for entry in several), _FASTEST)
        done = connection.run(command, stdin=stream, check=False, timeout_s=None, stall_s=STALLED_S)
        if done.exit_status != 0:
            if "No space left" in done.said:
                free = free_bytes(connection, transfer)
                raise disk_full(connection.host, free_bytes=free, needed_bytes=0)
            raise MachineError(f"a file cannot be copied: {done.said}", where=connection.host.name)
        moved(sum(entry.size for entry in several))


def fetch(
    connection: Connection,
    transfer: Transfer,
    entries: Sequence[Entry],
    moved: Callable[[int], None],
    *,
    folder: Folder,
) -> None:
    """Into `folder`. The names are ours: the stream has none. Raises as `sftp.fetch` does."""
    for several in _portions(entries):
        try:
            unpacked = _ask_for(connection, transfer, several)
            for entry, content in zip(several, _contents(unpacked, several), strict=True):
                if content is not None:  # gone meanwhile: fine
                    _write(connection, folder, entry, content)
        except (ValueError, zlib.error):
            raise MachineError(
                "the box sends other files than it listed", where=connection.host.name
            ) from None
        moved(sum(entry.size for entry in several))


def _ask_for(connection: Connection, transfer: Transfer, entries: Sequence[Entry]) -> bytearray:
    """The unpacked stream, never longer than the entries' sizes allow. Raises ValueError if it would be."""
    longest = sum(entry.size + _LENGTH_BYTES for entry in entries)
    unpacked, unpack = bytearray(), zlib.decompressobj()

    def keep(piece: bytes) -> None:
        unpacked.extend(unpack.decompress(piece, longest + 1 - len(unpacked)))
        if len(unpacked) > longest or unpack.unused_data:
            raise ValueError

    command = f"cd ~/.gpu-box/remote && exec {PYTHON} -m sync send " + quote(transfer.there)
    wanted = b"".join(b"%d %s\0" % (entry.size, os.fsencode(entry.path)) for entry in entries)
    done = connection.run(command, stdin=wanted, on_data=keep, check=False, timeout_s=None, stall_s=STALLED_S)
    if done.exit_status != 0:
        raise MachineError(f"a file cannot be copied: {done.said}", where=connection.host.name)
    return unpacked


def _contents(unpacked: bytearray, entries: Sequence[Entry]) -> Iterator[memoryview | None]:
    """For each entry its content; None if the file is gone. Raises ValueError for any other stream."""
    begin = 0
    for entry in entries:
        end = unpacked.index(b"\n", begin, begin + _LENGTH_BYTES)
        length = int(unpacked[begin:end])
        if length > entry.size:
            raise ValueError
        begin = end + 1 + max(0, length)
        if begin > len(unpacked):
            raise ValueError
        yield memoryview(unpacked)[end + 1 : begin] if length >= 0 else None


def _write(connection: Connection, folder: Folder, entry: Entry, content: memoryview) -> None:
    try:
        folder.write(os.fsencode(entry.path), content, mtime=entry.mtime, mode=entry.mode)
    except OSError as error:
        raise MachineError(
            f"{entry.shown} cannot be copied: {error.strerror or error}", where=connection.host.name
        ) from error


def _portions(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    several: list[Entry] = []
    size = 0
    for entry in entries:
        several.append(entry)
        size += entry.size
        if size >= _AT_ONCE_BYTES or len(several) >= _AT_ONCE:
            yield several
            several, size = [], 0
    if several:
        yield several


def _record(transfer: Transfer, entry: Entry) -> bytes:
    """As remote/sync/answer.py tells a file, with the content behind it."""
    content = b""
    if not entry.target:
        try:
            content = (transfer.here / entry.path).read_bytes()
        except FileNotFoundError:  # gone meanwhile: fine
            return b""
    kind = b"l" if entry.target else b"f"
    numbers = b"%d %d %o" % (len(content), entry.mtime, entry.mode)
    names = os.fsencode(entry.path) + b"\0" + os.fsencode(entry.target) + b"\0"
    return kind + b" " + numbers + b" " + names + content
