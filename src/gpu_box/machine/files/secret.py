"""A small secret file to the box: on standard input over the verified connection, for its user alone."""

from __future__ import annotations

from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import quote

# Written beside its place under a mask that lets nobody else in, then moved onto it.
_PUT = (
    'umask 077 && mkdir -p ~/"$1" && rm -f ~/"$1/$2".new && cat >~/"$1/$2".new && mv ~/"$1/$2".new ~/"$1/$2"'
)


def put(connection: Connection, folder: str, name: str, content: bytes) -> None:
    """folder: below the home folder. Mode 0600, whole or not at all. Raises MachineError."""
    connection.run(quote("sh", "-c", _PUT, "sh", folder, name), stdin=content, timeout_s=60)
