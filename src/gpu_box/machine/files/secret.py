"""Small secret files on the box: written over standard input, for its user alone; removed for an image."""

from __future__ import annotations

from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import quote

# Written to a temporary file under a restrictive umask, then renamed.
_PUT = (
    'umask 077 && mkdir -p ~/"$1" && rm -f ~/"$1/$2".new && cat >~/"$1/$2".new && mv ~/"$1/$2".new ~/"$1/$2"'
)

# Those that the next `up` brings or makes again, and what a cut transfer left of them.
_REMOVE = (
    "cd && for one in .gpu-box/env.sh .gpu-box/notify.json .gpu-box/jupyter/token .kaggle/kaggle.json "
    '.kaggle/access_token; do rm -f "$one" "$one".new; done && sync'
)


def put(connection: Connection, folder: str, name: str, content: bytes) -> None:
    """folder: below the home folder. Written atomically with mode 0600. Raises MachineError."""
    connection.run(quote("sh", "-c", _PUT, "sh", folder, name), stdin=content, timeout_s=60)


def remove_all(connection: Connection) -> None:
    """Every secret that gpu-box put on the box, for an image of its disk without any. Raises MachineError."""
    connection.run(quote("sh", "-c", _REMOVE), timeout_s=60)
