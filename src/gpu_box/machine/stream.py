"""Small files to the box where there is no rsync: many in one stream; by SFTP each costs five round trips.

The box's end is remote/sync/receive.py.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence

from gpu_box.errors import MachineError
from gpu_box.machine.connection import Connection
from gpu_box.machine.quoting import quote
from gpu_box.machine.selection import Entry
from gpu_box.machine.transfer import Transfer, disk_full, free_bytes

LARGEST_BYTES = 1024 * 1024  # of a file: a larger one is worth going on with where it was cut
_AT_ONCE_BYTES = 16 * 1024 * 1024  # held in memory, here and there
_FASTEST = 1  # zlib's level: text halves, and the link is not kept waiting


def move(
    connection: Connection, transfer: Transfer, entries: Sequence[Entry], moved: Callable[[int], None]
) -> None:
    """moved: gets the bytes that came. Raises as `sftp.move` does."""
    command = "cd ~/.gpu-box/remote && exec python3 -m sync receive " + quote(transfer.there)
    for several in _portions(entries):
        stream = zlib.compress(b"".join(_record(transfer, entry) for entry in several), _FASTEST)
        done = connection.run(command, stdin=stream, check=False)
        if done.exit_status != 0:
            said = (done.stderr.strip() or f"exit status {done.exit_status}").splitlines()[-1]
            if "No space left" in said:
                free = free_bytes(connection, transfer)
                raise disk_full(connection.host, free_bytes=free, needed_bytes=0)
            raise MachineError(f"a file cannot be copied: {said}", where=connection.host.name)
        moved(sum(entry.size for entry in several))


def _portions(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    several: list[Entry] = []
    size = 0
    for entry in entries:
        several.append(entry)
        size += entry.size
        if size >= _AT_ONCE_BYTES:
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
