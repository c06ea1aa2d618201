"""Files up and down: only what changed, newest wins, and a killed sync goes on where it was.

What changed is found here, from one listing of the box; how it travels is `rsync`'s or `sftp`'s.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_box.errors import GpuBoxError, InputError, MachineError, MachineUnreachable
from gpu_box.machine import rsync, sftp
from gpu_box.machine.connection import Connection, connect
from gpu_box.machine.quoting import quote
from gpu_box.machine.rsync import Rsync
from gpu_box.machine.selection import Entry, exclusion, select, stays_inside
from gpu_box.machine.transfer import Transfer, disk_full
from gpu_box.model import Host, Reporter, SyncResult

_STEP = "sync"
_NO_SUCH_FOLDER = 3  # exit status of remote/sync
_NO_CODE = 4  # of our own `cd`
_WATCH_EVERY_S = 1.0
# Results are made on the box and come down by `pull`; an older copy here must not go up over them.
_NEVER_UP = ("/results/",)
# An edited file or two: on the connection that is open they are there before rsync has logged in.
_LITTLE_BYTES = 1024 * 1024
_SPARE_BYTES = 16 * 1024 * 1024  # that a disk must keep: logs, the record of this very sync


def fingerprint(source: Path, exclude: Sequence[str]) -> str:
    """A short name for all that `push` would bring, as it is now: paths, sizes, times, modes."""
    listed = [repr(entry) for entry in select(source, [*exclude, *_NEVER_UP])]
    return hashlib.sha256("\n".join(listed).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def note_pushed(connection: Connection, name: str) -> None:
    """Leave on the box what was last pushed whole, so that the next `up` need not look at the files."""
    connection.run(f"printf %s {quote(name)} >~/.gpu-box/project")


def early_rsync(
    host: Host, source: Path, dest: str, transport: str | None = None
) -> contextlib.AbstractContextManager[Rsync | None]:
    """For a `with` block: one that logs in while we do, and while it is found out what it is to bring."""
    if transport == "sftp" or not rsync.usable():
        return contextlib.nullcontext()
    return Rsync(host, source, dest, up=True)


def push(
    connection: Connection,
    source: Path,
    dest: str,
    *,
    exclude: Sequence[str] = (),
    report: Reporter,
    delete: bool = False,
    transport: str | None = None,
    early: Rsync | None = None,
) -> SyncResult:
    """Bring the folder `source` to the box's folder `dest`. Git-ignored files stay here.

    delete: remove from the box what a former push brought and is gone here. transport: rsync or sftp; None
    for the better one. early: of `early_rsync`, from whoever began it before they connected. Raises
    InputError for a missing folder, MachineError when the box's disk is full.
    """
    if not source.is_dir():
        raise InputError("there is no such folder", where=str(source), remedy="Set sync.source to yours.")
    report.start(_STEP, f"looking at {source}")
    with contextlib.ExitStack() as stack:
        early = early or stack.enter_context(early_rsync(connection.host, source, dest, transport))
        wanted = select(source, [*exclude, *_NEVER_UP])
        about, there = _ask(
            connection,
            ["prepare", dest, *(["--delete"] if delete else [])],
            stdin=b"".join(os.fsencode(entry.path) + b"\0" for entry in wanted),
        )
        changed = [entry for entry in wanted if not entry.same_as(there.get(entry.path))]
        kept = [entry for entry in changed if _is_newer(there.get(entry.path), entry)]
        send = [entry for entry in changed if entry not in kept]
        needed_bytes = sum(e.size - (there[e.path].size if e.path in there else 0) for e in send)
        if needed_bytes > max(0, about["free"] - _SPARE_BYTES) and needed_bytes > 0:
            raise disk_full(connection.host, free_bytes=about["free"], needed_bytes=needed_bytes)
        transfer = Transfer(
            here=source,
            there=about["folder"],
            entries=tuple(send),
            up=True,
            report=report,
            step=_STEP,
            streams=bool(about.get("receives")),  # a box with older code does not
        )
        return _move(connection, transfer, about, kept, report, transport, early)


def pull(
    connection: Connection,
    source: str,
    dest: Path,
    *,
    exclude: Sequence[str] = (),
    report: Reporter,
    transport: str | None = None,
) -> SyncResult:
    """Bring the box's folder (or file) `source` into the local folder `dest`; nothing is deleted.

    .gitignore does not count here: results are ignored by git more often than not.
    """
    report.start(_STEP, f"looking at {source} of the box")
    about, there = _ask(connection, ["list", source])
    excluded = exclusion(exclude)
    wanted = [e for e in there.values() if not excluded.match_file(e.path) and _is_safe(e)]
    dest.mkdir(parents=True, exist_ok=True)
    here = {entry.path: _local_entry(dest, entry.path) for entry in wanted}
    changed = [entry for entry in wanted if not entry.same_as(here[entry.path])]
    kept = [entry for entry in changed if _is_newer(here[entry.path], entry)]
    transfer = Transfer(
        here=dest,
        there=about["folder"],
        entries=tuple(entry for entry in changed if entry not in kept),
        up=False,
        report=report,
        step=_STEP,
    )
    return _move(connection, transfer, about, kept, report, transport)


def watch(
    host: Host,
    source: Path,
    dest: str,
    *,
    exclude: Sequence[str] = (),
    report: Reporter,
    delete: bool = False,
    until: threading.Event | None = None,
) -> None:
    """Push whenever something changes here, until `until` is set. A lost link is made again."""
    until = until or threading.Event()
    last: list[Entry] | None = None
    while not until.is_set():
        now = select(source, [*exclude, *_NEVER_UP])
        if now != last:
            try:
                with early_rsync(host, source, dest) as early, connect(host) as connection:
                    push(connection, source, dest, exclude=exclude, report=report, delete=delete, early=early)
                last = now
            except MachineUnreachable as error:
                report.update(_STEP, f"{error.what}: trying again")
        until.wait(_WATCH_EVERY_S)


def _move(
    connection: Connection,
    transfer: Transfer,
    about: dict[str, Any],
    kept: list[Entry],
    report: Reporter,
    transport: str | None,
    early: Rsync | None = None,
) -> SyncResult:
    deleted = int(about.get("deleted", 0))
    used = "nothing"
    if transfer.entries:
        little = transfer.up and transfer.streams and transfer.total_bytes <= _LITTLE_BYTES
        used = transport or ("rsync" if about["rsync"] and rsync.usable() and not little else "sftp")
        try:
            if used == "sftp":
                sftp.move(connection, transfer)
            elif early is not None and early.waiting:
                early.move(connection, transfer)
            else:
                rsync.move(connection, transfer)
        except GpuBoxError as error:
            report.failed(_STEP, error.what)
            raise
    if kept:
        names = ", ".join(entry.path for entry in kept[:3]) + (", ..." if len(kept) > 3 else "")
        report.note(f"kept, as newer {'on the box' if transfer.up else 'here'}: {names}")
    result = SyncResult(
        files=len(transfer.entries),
        bytes=transfer.total_bytes,
        transport=used,
        deleted=deleted,
        kept=tuple(entry.path for entry in kept),
    )
    report.done(_STEP, str(result))
    return result


def _ask(
    connection: Connection, words: Sequence[str], stdin: bytes = b""
) -> tuple[dict[str, Any], dict[str, Entry]]:
    """What remote/sync tells: of the folder, and of the files in it by their path."""
    answer = bytearray()
    command = f"cd ~/.gpu-box/remote 2>/dev/null || exit {_NO_CODE}; exec python3 -m sync {quote(words[0])} "
    # The folder's ~ is for the box's Python, not for its shell.
    command += " ".join("'" + word.replace("'", "'\\''") + "'" for word in words[1:])
    result = connection.run(command, stdin=stdin, on_data=answer.extend, check=False, timeout_s=600)
    if result.exit_status == _NO_CODE:
        raise MachineError(
            "the box is not set up yet", where=connection.host.name, remedy="`gpu-box up` does it."
        )
    if result.exit_status == _NO_SUCH_FOLDER:
        raise InputError(f"there is no {words[1]} on the box", remedy="`gpu-box ssh` lets you look.")
    if result.exit_status != 0:
        said = (result.stderr.strip() or f"exit status {result.exit_status}").splitlines()[-1]
        if "No space left" in said:
            raise disk_full(connection.host, free_bytes=0, needed_bytes=0)
        raise MachineError(f"the box cannot sync: {said}", where=connection.host.name)
    head, _, body = bytes(answer).partition(b"\n")
    about = json.loads(head)
    about["folder"] = os.fsdecode(about["folder"].encode("latin-1"))
    return about, {entry.path: entry for entry in _entries(body)}


def _entries(body: bytes) -> list[Entry]:
    fields = body.split(b"\0")
    entries = []
    for record, target in zip(fields[0::2], fields[1::2], strict=False):
        kind, size, mtime, mode, path = record.split(b" ", 4)
        if kind != b"d":
            entries.append(
                Entry(
                    path=os.fsdecode(path),
                    size=int(size),
                    mtime=int(mtime),
                    mode=int(mode, 8),
                    target=os.fsdecode(target),
                )
            )
    return entries


def _is_newer(theirs: Entry | None, ours: Entry) -> bool:
    return theirs is not None and not (theirs.target or ours.target) and theirs.mtime > ours.mtime


def _is_safe(entry: Entry) -> bool:
    """Nothing that the box tells may lead out of the folder that was asked for."""
    return stays_inside("", entry.path) and (not entry.target or stays_inside(entry.path, entry.target))


def _local_entry(folder: Path, path: str) -> Entry | None:
    full = folder / path
    try:
        found = full.lstat()
        target = os.readlink(full) if full.is_symlink() else ""
    except OSError:
        return None
    return Entry(path=path, size=found.st_size, mtime=int(found.st_mtime), mode=found.st_mode, target=target)
