"""Many small files in one stream, without rsync: by SFTP each would cost five round trips.

The box's side is remote/sync/receive.py and send.py.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence

from gpu_box.errors import MachineError
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.files.shared import Folder
from gpu_box.machine.files.transfer import Transfer, disk_full, free_bytes, local_disk_full
from gpu_box.machine.ssh.connection import STALLED_S, Connection
from gpu_box.machine.ssh.shell import remote_module

LARGEST_BYTES = 1024 * 1024  # of a file: larger ones are worth resuming
_AT_ONCE_BYTES = 16 * 1024 * 1024  # held in memory on both sides
_AT_ONCE = 20_000  # files: a slow disk writes this many well within STALLED_S
_LENGTH_BYTES = 16  # the most characters of a file's length in its header
_FASTEST = 1  # zlib level: halves text without slowing the link


def move(
    connection: Connection, transfer: Transfer, entries: Sequence[Entry], moved: Callable[[int], None]
) -> None:
    """moved: called with the number of bytes that arrived. Raises as `sftp.move` does."""
    command = remote_module("sync", "receive", transfer.there)
    for several in _portions(entries):
        stream = zlib.compress(b"".join(_record(transfer, entry) for entry in several), _FASTEST)
        said = bytearray()
        done = connection.run(
            command, stdin=stream, on_data=said.extend, check=False, timeout_s=None, stall_s=STALLED_S
        )
        if done.exit_status != 0:
            if "No space left" in done.said:
                free = free_bytes(connection, transfer)
                raise disk_full(connection.host, free_bytes=free, needed_bytes=0)
            raise MachineError(f"a file cannot be copied: {done.said}", where=connection.host.name)
        refused = bytes(said).split(b"\0")
        known = {os.fsencode(entry.path) for entry in several}
        for path, why in zip(refused[0::2], refused[1::2], strict=False):
            if path in known:
                transfer.failed[os.fsdecode(path)] = why.decode(errors="replace")[:100]
        moved(sum(entry.size for entry in several))


def fetch(
    connection: Connection,
    transfer: Transfer,
    entries: Sequence[Entry],
    moved: Callable[[int], None],
    *,
    folder: Folder,
) -> None:
    """Download into `folder`. The stream has no names, so ours are used. Raises as `sftp.fetch` does."""
    for several in _portions(entries):
        try:
            unpacked = _ask_for(connection, transfer, several)
            for entry, content in zip(several, _contents(unpacked, several), strict=True):
                if content is not None:  # gone meanwhile: fine
                    _write(transfer, folder, entry, content)
        except (ValueError, zlib.error):
            raise MachineError(
                "the box sent other files than it listed", where=connection.host.name
            ) from None
        moved(sum(entry.size for entry in several))


def _ask_for(connection: Connection, transfer: Transfer, entries: Sequence[Entry]) -> bytearray:
    """The unpacked stream. Raises ValueError if it is longer than the entries' sizes allow."""
    longest = sum(entry.size + _LENGTH_BYTES for entry in entries)
    unpacked, unpack = bytearray(), zlib.decompressobj()

    def keep(piece: bytes) -> None:
        unpacked.extend(unpack.decompress(piece, longest + 1 - len(unpacked)))
        if len(unpacked) > longest or unpack.unused_data:
            raise ValueError

    command = remote_module("sync", "send", transfer.there)
    wanted = b"".join(b"%d %s\0" % (entry.size, os.fsencode(entry.path)) for entry in entries)
    done = connection.run(command, stdin=wanted, on_data=keep, check=False, timeout_s=None, stall_s=STALLED_S)
    if done.exit_status != 0:
        raise MachineError(f"a file cannot be copied: {done.said}", where=connection.host.name)
    return unpacked


def _contents(unpacked: bytearray, entries: Sequence[Entry]) -> Iterator[memoryview | None]:
    """Each entry's content; None if the file is gone. Raises ValueError for an invalid stream."""
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


def _write(transfer: Transfer, folder: Folder, entry: Entry, content: memoryview) -> None:
    try:
        folder.write(os.fsencode(entry.path), content, mtime=entry.mtime, mode=entry.mode)
    except OSError as error:
        if full := local_disk_full(error, transfer.here):
            raise full from error
        transfer.failed[entry.path] = str(error.strerror or error)


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
    """A file's header, as in remote/sync/answer.py, followed by its content."""
    content = b""
    if not entry.target:
        try:
            content = (transfer.here / entry.path).read_bytes()
        except FileNotFoundError:  # deleted meanwhile: fine
            return b""
        except OSError as error:
            transfer.failed[entry.path] = str(error.strerror)
            return b""
    kind = b"l" if entry.target else b"f"
    numbers = b"%d %d %o" % (len(content), entry.mtime, entry.mode)
    names = os.fsencode(entry.path) + b"\0" + os.fsencode(entry.target) + b"\0"
    return kind + b" " + numbers + b" " + names + content
