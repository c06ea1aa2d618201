"""Files up and down: only what changed, newest wins, and a killed sync goes on where it was.

What changed is found here, from one listing of the box; how it travels is `rsync`'s or `sftp`'s. The box may
lie: what it lists is checked here, and written by `local_folder`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from gpu_box.errors import GpuBoxError, InputError, MachineUnreachable
from gpu_box.machine.files import listing, rsync, sftp
from gpu_box.machine.files.hold import held
from gpu_box.machine.files.local_folder import Folder, is_printable, leads_inside
from gpu_box.machine.files.rsync import Rsync
from gpu_box.machine.files.selection import Entry, Selection, exclusion
from gpu_box.machine.files.transfer import Transfer, disk_full
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.machine.ssh.shell import quote
from gpu_box.model.machine import Host, SyncResult
from gpu_box.model.progress import Reporter

EARLY_RSYNC = True  # False: rsync starts once it is known what it is to bring
_STEP = "sync"
_WATCH_EVERY_S = 1.0
# An edited file or two: on the connection that is open they are there before rsync has logged in.
_LITTLE_BYTES = 1024 * 1024
_SPARE_BYTES = 16 * 1024 * 1024  # that a disk must keep: logs, the record of this very sync


def note_pushed(connection: Connection, selection: Selection) -> None:
    """Leave on the box what was last pushed whole, so that the next `up` need not ask it for its files."""
    connection.run(f"printf %s {quote(selection.fingerprint)} >~/.gpu-box/project")


def push_to(
    host: Host, selection: Selection, dest: str, *, report: Reporter, delete: bool = False
) -> SyncResult:
    """`push`, by a connection of its own, and noted. Raises MachineUnreachable and as `push` does."""
    with early_rsync(host, selection.folder, dest) as early, connect(host) as connection:
        result = push(connection, selection, dest, report=report, delete=delete, early=early)
        note_pushed(connection, selection)
        return result


def early_rsync(
    host: Host, source: Path, dest: str, transport: str | None = None
) -> contextlib.AbstractContextManager[Rsync | None]:
    """For a `with` block: one that logs in while we do, and while it is found out what it is to bring."""
    if not EARLY_RSYNC or transport == "sftp" or not rsync.usable():
        return contextlib.nullcontext()
    return Rsync(host, source, dest)


def push(
    connection: Connection,
    selection: Selection,
    dest: str,
    *,
    report: Reporter,
    delete: bool = False,
    transport: str | None = None,
    early: Rsync | None = None,
) -> SyncResult:
    """Bring the selected files to the box's folder `dest`.

    delete: remove from the box what a former push brought and is gone here. transport: rsync or sftp; None
    for the better one. early: of `early_rsync`, from whoever began it before they connected. Raises
    InputError for a missing folder, MachineError when the box's disk is full.
    """
    source = selection.folder
    report.start(_STEP, f"looking at {source}")
    with contextlib.ExitStack() as stack:
        early = early or stack.enter_context(early_rsync(connection.host, source, dest, transport))
        wanted = _printable(selection.entries, report)
        about, there = listing.ask(
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
            streams=about["receives"],  # a box with older code does not
        )
        with held(connection):
            return _move(connection, transfer, about, kept, report, transport, early)


def pull(
    connection: Connection,
    source: str,
    dest: Path,
    *,
    exclude: Sequence[str] = (),
    report: Reporter,
) -> SyncResult:
    """Bring the box's folder (or file) `source` into the local folder `dest`; nothing is deleted.

    Nothing outside `dest` is written, even if the box is hostile. .gitignore does not count here: results are
    ignored by git more often than not. Raises MachineError for an answer that no healthy box gives and when
    this disk is full.
    """
    report.start(_STEP, f"looking at {source} of the box")
    about, there = listing.ask(connection, ["list", source])
    if about["single"] and set(there) - {PurePosixPath(source).name}:
        raise listing.is_wrong(connection)  # another file than the one asked for
    excluded = exclusion(exclude)
    listed = [e for e in there.values() if not excluded.match_file(e.path.casefold())]
    listed = [e for e in _printable(listed, report) if not excluded.match_file(e.path)]
    with _opened(dest) as folder:
        wanted = _leading_inside(listed, folder, report)
        here = {entry.path: _local_entry(folder, entry.path) for entry in wanted}
        changed = [entry for entry in wanted if not entry.same_as(here[entry.path])]
        kept = [entry for entry in changed if _is_newer(here[entry.path], entry)]
        transfer = Transfer(
            here=dest,
            there=about["folder"],
            entries=tuple(entry for entry in changed if entry not in kept),
            up=False,
            report=report,
            step=_STEP,
            streams=about["sends"],  # a box with older code does not
        )
        _require_space(dest, transfer.total_bytes)
        with held(connection):
            return _move(connection, transfer, about, kept, report, folder=folder)


def watch(
    host: Host,
    source: Path,
    dest: str,
    *,
    exclude: tuple[str, ...] = (),
    report: Reporter,
    delete: bool = False,
    until: threading.Event | None = None,
) -> None:
    """Push whenever something changes here, until `until` is set. A lost link is made again."""
    until = until or threading.Event()
    last: tuple[Entry, ...] | None = None
    while not until.is_set():
        now = Selection(source, exclude)
        if now.entries != last:
            try:
                push_to(host, now, dest, report=report, delete=delete)
                last = now.entries
            except MachineUnreachable as error:
                report.update(_STEP, f"{error.what}: trying again")
        until.wait(_WATCH_EVERY_S)


def _move(
    connection: Connection,
    transfer: Transfer,
    about: dict[str, Any],
    kept: list[Entry],
    report: Reporter,
    transport: str | None = None,
    early: Rsync | None = None,
    folder: Folder | None = None,
) -> SyncResult:
    """folder: where a pull writes."""
    deleted = about["deleted"]
    used = "nothing"
    if transfer.entries:
        little = transfer.up and transfer.streams and transfer.total_bytes <= _LITTLE_BYTES
        by_rsync = transfer.up and about["rsync"] and rsync.usable() and not little
        used = transport or ("rsync" if by_rsync else "sftp")
        try:
            if folder is not None:
                sftp.fetch(connection, transfer, folder)
            elif used == "sftp":
                sftp.move(connection, transfer)
            elif early is not None and early.waiting:
                early.move(connection, transfer)
            else:
                rsync.move(connection, transfer)
        except GpuBoxError as error:
            report.failed(_STEP, error.what)
            raise
    if kept:
        names = ", ".join(entry.shown for entry in kept[:3]) + (", ..." if len(kept) > 3 else "")
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


def _is_newer(theirs: Entry | None, ours: Entry) -> bool:
    return theirs is not None and not (theirs.target or ours.target) and theirs.mtime > ours.mtime


def _opened(dest: Path) -> Folder:
    try:
        dest.mkdir(parents=True, exist_ok=True)
        return Folder(os.fsencode(dest))
    except OSError as error:
        raise InputError(f"this is no folder to pull into: {error.strerror}", where=str(dest)) from None


def _require_space(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > max(0, free_bytes - _SPARE_BYTES) and needed_bytes > 0:
        raise GpuBoxError(
            f"this disk is full: {free_bytes / 1e6:.0f} MB free, {needed_bytes / 1e6:.0f} MB to come",
            where=str(folder),
            remedy="Make room, then run the command again: it continues.",
        )


def _printable(entries: Sequence[Entry], report: Reporter) -> list[Entry]:
    """Those without control characters in their names; a note tells of the others."""
    return _those(
        entries, lambda e: is_printable(os.fsencode(e.path)), "control characters in the name", report
    )


def _leading_inside(entries: list[Entry], folder: Folder, report: Reporter) -> list[Entry]:
    """Without the links that lead out of `folder`; a note tells of them."""

    def stays(entry: Entry) -> bool:
        path, target = os.fsencode(entry.path), os.fsencode(entry.target)
        return not target or (leads_inside(path, target) and folder.ends_inside(path, target))

    return _those(entries, stays, "links out of the folder", report)


def _those(
    entries: Sequence[Entry], right: Callable[[Entry], bool], why: str, report: Reporter
) -> list[Entry]:
    left = [entry.path for entry in entries if not right(entry)]
    if left:
        names = ", ".join(ascii(path) for path in left[:3]) + (", ..." if len(left) > 3 else "")
        report.note(f"left out ({why}): {names}")
    return [entry for entry in entries if right(entry)]


def _local_entry(folder: Folder, path: str) -> Entry | None:
    seen = folder.look(os.fsencode(path))
    if seen is None:
        return None
    found, target = seen
    return Entry(
        path=path,
        size=found.st_size,
        mtime=int(found.st_mtime),
        mode=found.st_mode,
        target=os.fsdecode(target),
    )
