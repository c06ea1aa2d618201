"""The box's list of its files (remote/sync/answer.py), checked because the box is not trusted."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_box.errors import InputError, MachineError
from gpu_box.machine.files import last_list
from gpu_box.machine.files.selection import Entry, Selection
from gpu_box.machine.files.shared import is_normal
from gpu_box.machine.files.transfer import disk_full
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.errors import not_set_up, timed_out
from gpu_box.machine.ssh.shell import NO_CODE, remote_module
from gpu_box.machine.ssh.system_ssh import SystemSsh
from gpu_box.model.answer import Fields, Malformed
from gpu_box.model.machine import Host

_NO_SUCH_FOLDER = 3  # exit status of remote/sync
STATES = frozenset({"same", "old", "changed", "both", "unknown", "way"})
_TIMEOUT_S = 600
_LONGEST_BYTES = 256 * 1024 * 1024  # a million files
_DIGEST_BYTES = 65  # a SHA-256 in hex, and a newline
_LARGEST_BYTES = 1 << 63  # no file is larger
_LATEST = 1 << 40  # seconds since 1970, beyond any file system


def ask(
    connection: Connection, words: Sequence[str], stdin: bytes = b""
) -> tuple[dict[str, Any], dict[str, Entry]]:
    """The box's answer about a folder, and its files by path.

    Raises InputError if there is no such folder, MachineError for an impossible answer.
    """
    about, body = _asked(connection, words, stdin)
    with _checked(connection.host):
        return about, {entry.path: entry for entry in _entries(body)}


def gone(connection: Connection, folder: str, wanted: Sequence[Entry]) -> list[str]:
    """The files that earlier pushes sent, that are not wanted any more, and that the box has not changed."""
    try:
        return sorted(ask(connection, ["gone", folder], _paths([entry.path for entry in wanted]))[1])
    except OlderCode:
        raise _older(connection) from None


def remove(connection: Connection, folder: str, paths: Sequence[str]) -> int:
    """Remove files that `gone` listed; returns how many went."""
    return int(ask(connection, ["remove", folder], _paths(paths))[0]["deleted"])


def _paths(paths: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def _older(connection: Connection) -> MachineError:
    return MachineError(
        "the box has an older gpu-box, which cannot list what it would remove",
        where=connection.host.name,
        remedy="Run `gpu-box up`, which brings it up to date.",
    )


def ask_whole(
    connection: Connection, folder: str, patterns: Sequence[str], *, ended: bool
) -> tuple[dict[str, Any], dict[str, Entry]]:
    """`ask` for the files below `folder` that match a pattern (remote/sync/whole.py), and no others."""
    from pathspec import GitIgnoreSpec

    wanted = b"".join(os.fsencode(pattern) + b"\0" for pattern in patterns)
    about, there = ask(connection, ["whole", folder, *(["--ended"] if ended else [])], wanted)
    # A box is not trusted: what was not asked for could be a program of the project here.
    ours = GitIgnoreSpec.from_lines(f"/{pattern}" for pattern in patterns)
    return about, {path: entry for path, entry in there.items() if ours.match_file(path)}


# The box's answer about the folder, and the files that may differ.
Differing = tuple[dict[str, Any] | None, list[Entry]]


def differing(connection: Connection, folder: str, selection: Selection) -> Differing:
    """The files in those folders in which something has changed on either side since the last push
    (remote/sync/unchanged.py). With few files the box is not asked: it answers None, and they are all here.
    """
    if not selection.many and len(selection.entries) < last_list.MANY:
        return None, [*selection.entries]
    try:
        answer = _asked(connection, ["unchanged", folder], lambda: _digests(selection))
    except OlderCode:
        return None, [*selection.entries]
    return _differing(connection.host, selection, *answer)


def _digests(selection: Selection) -> bytes:
    return b"".join(
        b"%s %s\0" % (digest.encode(), os.fsencode(path)) for path, digest in selection.folders.items()
    )


def _differing(host: Host, selection: Selection, about: dict[str, Any], body: bytes) -> Differing:
    changed = {os.fsdecode(path) for path in body.split(b"\0")[:-1]}
    with _checked(host):
        # Of a link that breaks, sshd may send the exit status and not all of the output.
        if not changed <= selection.folders.keys() or about["changed"] not in (None, len(changed)):
            raise ValueError
    about["remembers"] = True
    if not changed:
        return about, []
    return about, [entry for entry in selection.entries if entry.path.rpartition("/")[0] in changed]


@contextmanager
def differing_early(
    host: Host, folder: str, selection: Selection
) -> Iterator[Callable[[], Differing | None]]:
    """Ask `differing` by the system's ssh, for a `with` block: it begins sooner than Python's own.

    The function waits for the answer: None if the box does not give one this way. It raises InputError as
    `Selection.scan` does, and MachineError for an impossible answer.
    """
    command = _command(["unchanged", folder])

    def answer() -> Differing | None:
        ssh.send(_digests(selection))
        try:
            said = ssh.output(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise timed_out(host, command, _TIMEOUT_S, None) from None
        return _differing(host, selection, *_read(host, said[0])) if said else None

    try:
        config = ssh_config.private_config(host)
    except InputError:  # a full disk
        yield lambda: None
        return
    with SystemSsh(config, host.name, command) as ssh:
        yield answer


def compare(
    connection: Connection, folder: str, wanted: Sequence[Entry]
) -> tuple[dict[str, Any], dict[str, tuple[str, Entry]]]:
    """The box's answer about the laptop's files, each with its state (remote/sync/compare.py)."""
    stamped = b"".join(b"%s %s\0" % (_stamp(entry), os.fsencode(entry.path)) for entry in wanted)
    try:
        about, body = _asked(connection, ["compare", folder], stamped)
    except OlderCode:
        paths = _paths([entry.path for entry in wanted])
        about, there = ask(connection, ["prepare", folder], paths)
        return {**about, "remembers": False}, {path: ("unknown", entry) for path, entry in there.items()}
    known = {entry.path for entry in wanted}
    with _checked(connection.host):
        found: dict[str, tuple[str, Entry]] = {}
        fields = body.split(b"\0")
        for record, target in zip(fields[0::2], fields[1::2], strict=False):
            state, rest = record.split(b" ", 1)
            kind, entry = _entry(rest, target)
            if state.decode() not in STATES or entry.path not in known:
                raise ValueError
            if kind != b"d":
                found[entry.path] = state.decode(), entry
        return {**about, "remembers": True}, found


@contextmanager
def commit(connection: Connection, folder: str, pushed: Sequence[Entry], fingerprint: str) -> Iterator[None]:
    """Record on the box what it has when the `with` block has ended; its program starts with the block.

    fingerprint: of the whole selection.
    """
    ended, done = Future[bytes](), Future[None]()

    def record() -> None:
        try:
            said = connection.run(_command(["commit", folder]), stdin=ended.result, check=False)
            if said.exit_status != 0:
                raise _no_record(connection, said.said)
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=record, daemon=True).start()
    try:
        yield
    except BaseException:
        ended.set_result(b"")  # nothing is recorded
        raise
    records = [b"%s %d %s\0" % (_stamp(entry), entry.size, os.fsencode(entry.path)) for entry in pushed]
    ended.set_result(b"".join(records) + b"= 0 %s\0" % fingerprint.encode())
    done.result()


def _no_record(connection: Connection, said: str) -> MachineError:
    if "No space left" in said:
        return disk_full(connection.host, free_bytes=0, needed_bytes=0)
    return MachineError(
        f"everything arrived, but the box cannot record it: {said}",
        where=connection.host.name,
        remedy="Run the command again: it compares what is there.",
    )


def same_content(connection: Connection, folder: str, root: Path, entries: Sequence[Entry]) -> set[str]:
    """The paths of entries whose content on the box equals that below `root`."""
    if not entries:
        return set()
    wanted = _paths([entry.path for entry in entries])
    said = bytearray()

    def keep(piece: bytes) -> None:
        said.extend(piece)
        if len(said) > _DIGEST_BYTES * len(entries):
            raise is_wrong(connection.host)

    command = _command(["digest", folder])
    connection.run(command, stdin=wanted, on_data=keep, timeout_s=None, stall_s=600)
    digests = bytes(said).decode("ascii", "replace").split()
    return {
        entry.path
        for entry, theirs in zip(entries, digests, strict=False)
        if _digest(root / entry.path) == theirs
    }


def _stamp(entry: Entry) -> bytes:
    return (entry.stamp or "-").encode()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


class OlderCode(Exception):
    """The box's copy of our code does not have the command yet."""


def _asked(
    connection: Connection, words: Sequence[str], stdin: bytes | Callable[[], bytes]
) -> tuple[dict[str, Any], bytes]:
    answer, host = bytearray(), connection.host

    def keep(piece: bytes) -> None:
        answer.extend(piece)
        if len(answer) > _LONGEST_BYTES:
            raise is_wrong(host)

    result = connection.run(_command(words), stdin=stdin, on_data=keep, check=False, timeout_s=_TIMEOUT_S)
    if result.exit_status == NO_CODE:
        raise not_set_up(host)
    if result.exit_status == _NO_SUCH_FOLDER:
        raise InputError(f"there is no {words[1]} on the box", remedy="Look with `gpu-box ssh`.")
    if result.exit_status != 0:
        if "No space left" in result.said:
            raise disk_full(host, free_bytes=0, needed_bytes=0)
        if "usage: python3 -m sync" in result.said:
            raise OlderCode
        raise MachineError(f"the box cannot sync: {result.said}", where=host.name)
    return _read(host, bytes(answer))


def _command(words: Sequence[str]) -> str:
    return remote_module("sync", *words, site=False)


def _read(host: Host, answer: bytes) -> tuple[dict[str, Any], bytes]:
    with _checked(host):
        head, _, body = answer.partition(b"\n")
        fields = Fields(json.loads(head))  # not `read_json`: a folder's name is bytes and no text
        about = {
            "folder": _folder(fields.value("folder")),
            **{key: fields.flag(key) for key in ("single", "rsync")},
            **{key: fields.whole(key, 0) for key in ("free", "deleted")},
            "changed": fields.whole_or_none("changed"),  # an older gpu-box does not count
            "project": fields.value("project"),
        }
        return about, body


@contextmanager
def _checked(host: Host) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError):
        raise is_wrong(host) from None


def _folder(value: Any) -> str:
    """Raises ValueError."""
    if not isinstance(value, str):
        raise Malformed("folder")
    return os.fsdecode(value.encode("latin-1"))


def is_wrong(host: Host) -> MachineError:
    return MachineError(
        "the box's list of files is invalid; nothing was copied",
        where=host.name,
        remedy="Look at the box (`gpu-box ssh`); `gpu-box up` restores its own code.",
    )


def _entries(body: bytes) -> list[Entry]:
    """Raises ValueError for an invalid record, or a name that is not below the folder."""
    fields = body.split(b"\0")
    read = [_entry(*both) for both in zip(fields[0::2], fields[1::2], strict=False)]
    return [entry for kind, entry in read if kind != b"d"]


def _entry(record: bytes, target: bytes) -> tuple[bytes, Entry]:
    kind, size, mtime, mode, path = record.split(b" ", 4)
    if not is_normal(path) or not 0 <= int(size) <= _LARGEST_BYTES or abs(int(mtime)) > _LATEST:
        raise ValueError
    return kind, Entry(
        path=os.fsdecode(path),
        size=int(size),
        mtime=int(mtime),
        mode=int(mode, 8) & 0o777,
        target=os.fsdecode(target),
    )
