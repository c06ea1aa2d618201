"""Sync files both ways: changes only, the newest version wins, and an interrupted sync resumes.

The changes follow from one listing of the box; `rsync` or `sftp` transfers them. The box is not trusted:
its listing is checked here, and `shared` writes the files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from gpu_box.errors import GpuBoxError, InputError, MachineError, MachineUnreachable
from gpu_box.machine.files import listing, rsync, sftp
from gpu_box.machine.files.hold import held
from gpu_box.machine.files.rsync import Rsync
from gpu_box.machine.files.selection import Entry, Selection, exclusion
from gpu_box.machine.files.shared import Folder, is_printable, leads_inside
from gpu_box.machine.files.transfer import Transfer, disk_full
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.model.machine import Host, SyncResult
from gpu_box.model.progress import Reporter

EARLY_RSYNC = True  # False: rsync starts only when its list of files is ready
EARLY_QUESTION = True  # False: which of very many files differ is asked over Python's own connection
_MOST_BROKEN = 3  # lines of .gitignore that are named
_STEP = "sync"
_WATCH_EVERY_S = 1.0
# An edited file or two arrive over the open connection before rsync has logged in.
_LITTLE_BYTES = 1024 * 1024
_SPARE_BYTES = 16 * 1024 * 1024  # to leave free for logs and the record of this sync


def push_to(
    host: Host, selection: Selection, dest: str, *, report: Reporter, delete: bool = False
) -> SyncResult:
    """`push` over a new connection. Raises MachineUnreachable, and as `push` does."""
    with contextlib.ExitStack() as stack:
        ask = None
        if EARLY_QUESTION and selection.many and not delete:
            ask = stack.enter_context(listing.differing_early(host, dest, selection))
        selection.begin()
        early = stack.enter_context(early_rsync(host, selection, dest))
        differing: listing.Differing | None = None
        if ask:
            report.start(_STEP, f"listing {selection.folder}")
            differing = ask()
            if differing and not _news(selection, differing):
                _name_left(selection, report)
                return _done(SyncResult(files=0, bytes=0, transport="nothing", deleted=0, kept=()), report)
        connection = stack.enter_context(connect(host))
        return push(
            connection, selection, dest, report=report, delete=delete, early=early, differing=differing
        )


def _news(selection: Selection, differing: listing.Differing) -> bool:
    about, wanted = differing
    return bool(wanted) or about is None or about["project"] != selection.fingerprint


def early_rsync(
    host: Host, selection: Selection, dest: str, transport: str | None = None
) -> contextlib.AbstractContextManager[Rsync | None]:
    """An rsync that logs in while we do and while its list of files is made. For a `with` block.

    None where the list takes longer than the log-in.
    """
    if not EARLY_RSYNC or transport == "sftp" or not rsync.usable() or selection.many:
        return contextlib.nullcontext()
    try:
        return Rsync(host, selection.folder, dest)
    except InputError:  # the laptop's disk is full; little travels without rsync
        return contextlib.nullcontext()


def push(
    connection: Connection,
    selection: Selection,
    dest: str,
    *,
    report: Reporter,
    delete: bool = False,
    transport: str | None = None,
    early: Rsync | None = None,
    differing: listing.Differing | None = None,
) -> SyncResult:
    """Send the selected files to the box's folder `dest`.

    delete: remove from the box what an earlier push sent and is gone here. transport: rsync or sftp; None
    chooses the faster one. early: from `early_rsync`, if it was started before the connection. differing:
    from `listing`, if it was asked before. Raises InputError for a missing folder, MachineError if the box's
    disk is full.
    """
    source = selection.folder
    if differing is None:
        report.start(_STEP, f"listing {source}")
    with contextlib.ExitStack() as stack:
        early = early or stack.enter_context(early_rsync(connection.host, selection, dest, transport))
        deleted = _delete(connection, selection, dest, report) if delete else 0
        about, wanted = differing or listing.differing(connection, dest, selection)
        _name_left(selection, report)
        compared: dict[str, tuple[str, Entry]] = {}
        if wanted or about is None:
            about, compared = listing.compare(connection, dest, wanted)
        about["deleted"] = deleted
        first = not compared and len(wanted) == selection.summary.count
        if first and (source / ".git").exists():
            report.note("`.git` is never sent; for git on the box, clone there")
        there = {path: entry for path, (_, entry) in compared.items()}
        fates = {entry.path: _fate(entry, compared.get(entry.path)) for entry in wanted}
        clock_says_same = [entry for entry in wanted if fates[entry.path] == "look"]
        alike = listing.same_content(connection, dest, source, clock_says_same)
        for path in (entry.path for entry in clock_says_same):
            changed_there = compared[path][0] == "changed"  # and not here
            fates[path] = "known" if path in alike else "keep" if changed_there else "send"
        send, kept, known, in_the_way = (
            [entry for entry in wanted if fates[entry.path] == fate]
            for fate in ("send", "keep", "known", "way")
        )
        _name(in_the_way, "not sent, the box has something else there", report)
        needed_bytes = sum(e.size - (there[e.path].size if e.path in there else 0) for e in send)
        if needed_bytes > max(0, about["free"] - _SPARE_BYTES) and needed_bytes > 0:
            raise disk_full(connection.host, free_bytes=about["free"], needed_bytes=needed_bytes)
        transfer = Transfer(
            here=source, there=about["folder"], entries=tuple(send), up=True, report=report, step=_STEP
        )
        news = send or known or about["project"] != selection.fingerprint
        record: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if about["remembers"] and news:
            record = listing.commit(connection, dest, [*send, *known], selection.fingerprint)
        with held(connection), record:
            result = _move(connection, transfer, about, kept, report, transport, early)
        return replace(result, kept=(*result.kept, *(entry.path for entry in in_the_way)))


def gone(connection: Connection, selection: Selection, dest: str) -> list[str]:
    """The files that `push` with `delete` would remove from the box's folder `dest`.

    Files that exist here and files that are excluded by now, like rsync's, are not among them.
    """
    return selection.unexcluded(listing.gone(connection, dest, selection.entries))


def _delete(connection: Connection, selection: Selection, dest: str, report: Reporter) -> int:
    paths = gone(connection, selection, dest)
    if not paths:
        return 0
    report.note(f"removed on the box: {_some(paths)}")
    return listing.remove(connection, dest, paths)


def _fate(ours: Entry, found: tuple[str, Entry] | None) -> str:
    """send; keep (the box's file); way (the box has something else there); look (compare contents, as size,
    time and mode are equal); known (the box has it without a record of it); or nothing.
    """
    if found is None:
        return "send"
    state, theirs = found
    if state in ("same", "way"):
        return {"same": "nothing", "way": "way"}[state]
    equal = ours.same_as(theirs) and (ours.target or ours.mode & 0o777 == theirs.mode)
    if equal and not ours.target:
        return "look"
    if state == "old":
        return "send"
    if equal:
        return "known"
    if state == "changed":
        return "keep"
    return "keep" if _is_newer(theirs, ours) else "send"


def _name_left(selection: Selection, report: Reporter) -> None:
    """Note the files that cannot be sent although nothing excludes them, and broken lines of .gitignore."""
    broken = selection.summary.broken
    for line in broken[:_MOST_BROKEN]:
        report.note(line)
    if len(broken) > _MOST_BROKEN:
        report.note(f"ignored patterns of .gitignore files: {len(broken) - _MOST_BROKEN} more")
    for why, paths in selection.summary.left.items():
        report.note(f"left out ({why}): {_some(paths)}")


def _name(entries: Sequence[Entry], what: str, report: Reporter) -> None:
    if entries:
        report.note(f"{what}: {_some([entry.path for entry in entries])}")


def _some(paths: Sequence[str]) -> str:
    """Paths for a message: a name need not be UTF-8, and may contain control characters."""
    shown = [path if path.isprintable() else ascii(path) for path in paths[:3]]
    return ", ".join(shown) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def pull(
    connection: Connection,
    source: str,
    dest: Path,
    *,
    exclude: Sequence[str] = (),
    report: Reporter,
    patterns: Sequence[str] = (),
    ended: bool = True,
) -> SyncResult:
    """Copy the box's folder (or file) `source` into the local folder `dest`. Nothing is deleted.

    Nothing outside `dest` is written, even if the box is malicious. .gitignore is not applied, because
    results are usually ignored by git. patterns: only the files that match one and that no program is
    writing; without `ended` none that has just changed. Raises MachineError for an impossible answer or if
    this disk is full.
    """
    report.start(_STEP, f"listing {source} on the box")
    if patterns:
        about, there = listing.ask_whole(connection, source, patterns, ended=ended)
    else:
        about, there = listing.ask(connection, ["list", source])
    if about["single"] and set(there) - {PurePosixPath(source).name}:
        raise listing.is_wrong(connection.host)  # not the file that was requested
    excluded = exclusion(exclude)
    listed = [e for e in there.values() if not excluded.ignores(e.path.casefold())]
    listed = [e for e in _printable(listed, report) if not excluded.ignores(e.path)]
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
            whole=bool(patterns),
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
    """Push whenever a file changes, until `until` is set. Reconnects a lost link. After the first push no
    error ends it: a file, a pattern or the folder may be incomplete for a moment.
    """
    until = until or threading.Event()
    last: str | None = None
    report = _NotesOnce(report)
    while not until.is_set():
        try:
            now = Selection(source, exclude)
            if now.fingerprint != last:
                push_to(host, now, dest, report=report, delete=delete)
                last = now.fingerprint
        except MachineUnreachable as error:
            report.update(_STEP, f"{error.what}: trying again")
        except (GpuBoxError, OSError) as error:
            if last is None:
                raise
            report.note(f"{error}: trying again")
        until.wait(_WATCH_EVERY_S)


class _NotesOnce:
    """A reporter for repeated work: prints each note once."""

    def __init__(self, report: Reporter) -> None:
        self.start, self.update = report.start, report.update
        self.done, self.failed = report.done, report.failed
        self._note, self._noted = report.note, set[str]()

    def note(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self._note(line)


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
    """folder: the target of a pull."""
    deleted = about["deleted"]
    used = "nothing"
    if transfer.entries:
        little = transfer.up and transfer.total_bytes <= _LITTLE_BYTES
        by_rsync = transfer.up and about["rsync"] and rsync.usable() and not little
        by_rsync = by_rsync and not connection.noisy  # rsync would read the login's output as its own
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
            if transfer.failed:
                raise _not_copied(connection, transfer)
        except GpuBoxError as error:
            report.failed(_STEP, error.what)
            raise
    if kept:
        why = "changed on the box" if transfer.up else "newer here"
        report.note(f"not overwritten, {why}: {_some([entry.path for entry in kept])}")
    result = SyncResult(
        files=len(transfer.entries),
        bytes=transfer.total_bytes,
        transport=used,
        deleted=deleted,
        kept=tuple(entry.path for entry in kept),
    )
    return _done(result, report)


def _done(result: SyncResult, report: Reporter) -> SyncResult:
    report.done(_STEP, str(result))
    return result


def _not_copied(connection: Connection, transfer: Transfer) -> MachineError:
    (path, why), *more = transfer.failed.items()
    others = f", and {len(more)} more files" if more else ""
    return MachineError(
        f"{_some([path])} cannot be copied: {why}{others}; everything else arrived",
        where=connection.host.name,
    )


def _is_newer(theirs: Entry | None, ours: Entry) -> bool:
    return theirs is not None and not (theirs.target or ours.target) and theirs.mtime > ours.mtime


def _opened(dest: Path) -> Folder:
    try:
        dest.mkdir(parents=True, exist_ok=True)
        return Folder(os.fsencode(dest))
    except OSError as error:
        raise InputError(f"cannot pull into this folder: {error.strerror}", where=str(dest)) from None


def _require_space(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > max(0, free_bytes - _SPARE_BYTES) and needed_bytes > 0:
        raise GpuBoxError(
            f"this disk is full: {free_bytes / 1e6:.0f} MB free, {needed_bytes / 1e6:.0f} MB needed",
            where=str(folder),
            remedy="Make room, then run the command again: it continues.",
        )


def _printable(entries: Sequence[Entry], report: Reporter) -> list[Entry]:
    """Entries without control characters in their names; a note lists the others."""
    return _filtered(
        entries, lambda e: is_printable(os.fsencode(e.path)), "control characters in the name", report
    )


def _leading_inside(entries: list[Entry], folder: Folder, report: Reporter) -> list[Entry]:
    """Entries without links that lead out of `folder`; a note lists the links."""

    def stays(entry: Entry) -> bool:
        path, target = os.fsencode(entry.path), os.fsencode(entry.target)
        return not target or (leads_inside(path, target) and folder.ends_inside(path, target))

    return _filtered(entries, stays, "links out of the folder", report)


def _filtered(
    entries: Sequence[Entry], right: Callable[[Entry], bool], why: str, report: Reporter
) -> list[Entry]:
    left = [entry.path for entry in entries if not right(entry)]
    if left:
        report.note(f"left out ({why}): {_some(left)}")
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
