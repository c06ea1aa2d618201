"""What the box says of its files (remote/sync/answer.py), checked: it may lie."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from gpu_box.errors import InputError, MachineError
from gpu_box.machine.files.local_folder import is_normal
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.files.transfer import disk_full
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import PYTHON, quote
from gpu_box.model.answer import NONSENSE

_NO_SUCH_FOLDER = 3  # exit status of remote/sync
_NO_CODE = 4  # of our own `cd`
_LONGEST_BYTES = 256 * 1024 * 1024  # a million files
_LARGEST_BYTES = 1 << 63  # of a file, anywhere
_LATEST = 1 << 40  # seconds since 1970, later than any file system can hold


def ask(
    connection: Connection, words: Sequence[str], stdin: bytes = b""
) -> tuple[dict[str, Any], dict[str, Entry]]:
    """The box's answer about a folder, and its files by their path.

    Raises InputError if there is no such folder, MachineError for an answer that no healthy box gives.
    """
    answer = bytearray()
    command = f"cd ~/.gpu-box/remote 2>/dev/null || exit {_NO_CODE}; exec {PYTHON} -m sync {quote(*words)}"

    def keep(piece: bytes) -> None:
        answer.extend(piece)
        if len(answer) > _LONGEST_BYTES:
            raise is_wrong(connection)

    result = connection.run(command, stdin=stdin, on_data=keep, check=False, timeout_s=600)
    if result.exit_status == _NO_CODE:
        raise MachineError(
            "the box is not set up yet", where=connection.host.name, remedy="`gpu-box up` does it."
        )
    if result.exit_status == _NO_SUCH_FOLDER:
        raise InputError(f"there is no {words[1]} on the box", remedy="`gpu-box ssh` lets you look.")
    if result.exit_status != 0:
        if "No space left" in result.said:
            raise disk_full(connection.host, free_bytes=0, needed_bytes=0)
        raise MachineError(f"the box cannot sync: {result.said}", where=connection.host.name)
    try:
        head, _, body = bytes(answer).partition(b"\n")
        about = json.loads(head)
        about = {
            "folder": os.fsdecode(about["folder"].encode("latin-1")),
            **{key: bool(about.get(key)) for key in ("single", "rsync", "receives", "sends")},
            **{key: int(about.get(key, 0)) for key in ("free", "deleted")},
        }
        return about, {entry.path: entry for entry in _entries(body)}
    except (*NONSENSE, RecursionError):
        raise is_wrong(connection) from None


def is_wrong(connection: Connection) -> MachineError:
    return MachineError(
        "the box's list of files cannot be right: nothing is copied",
        where=connection.host.name,
        remedy="Look at the box (`gpu-box ssh`); `gpu-box up` brings its own code again.",
    )


def _entries(body: bytes) -> list[Entry]:
    """Raises ValueError for a record that is none, and for a name that is not below the folder."""
    fields = body.split(b"\0")
    entries = []
    for record, target in zip(fields[0::2], fields[1::2], strict=False):
        kind, size, mtime, mode, path = record.split(b" ", 4)
        if not is_normal(path) or not 0 <= int(size) <= _LARGEST_BYTES or abs(int(mtime)) > _LATEST:
            raise ValueError
        if kind != b"d":
            entries.append(
                Entry(
                    path=os.fsdecode(path),
                    size=int(size),
                    mtime=int(mtime),
                    mode=int(mode, 8) & 0o777,
                    target=os.fsdecode(target),
                )
            )
    return entries
