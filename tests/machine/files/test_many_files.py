"""With many files, folders in which nothing has changed are not listed; everything else stays as with few."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import MachineError
from gpu_box.machine.files import listing, sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh.connection import Connection
from sync import compare, prepare, unchanged
from tests.paths import REMOTE

from ..conftest import Recorder

NAMES = ["a", "b c", "é.txt", "deep/a", "deep/b", "deep/er/a", "x/y/z", "x/" + "n" * 70]


@pytest.fixture
def box(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    upload_remote.upload(connection, REMOTE)
    monkeypatch.setattr(listing, "_MANY", 0)
    return connection


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name in NAMES:
        put(folder / name, "first")
    return folder


def put(path: Path, text: str, mtime: int = 1_700_000_000) -> None:
    if path.parent.is_symlink() or path.is_symlink() or path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (mtime, mtime))


def change(folder: Path, name: str, kind: str, number: int) -> None:
    path, mtime = folder / name, 1_700_000_000 + number % 5
    if kind == "write":
        put(path, str(number), mtime)
    elif kind == "same times":
        put(path, f"{number:05}")
    elif not path.exists() or path.is_symlink() or path.parent.is_symlink():
        return
    elif kind == "mode":
        path.chmod(0o600 if number % 2 else 0o755)
    elif kind == "remove":
        path.unlink()
    elif kind == "link":
        path.unlink()
        path.symlink_to("nowhere")
    elif kind == "folder is a link" and path.parent != folder:
        there = folder.with_name("elsewhere") / f"{folder.name}-{number}"
        shutil.copytree(path.parent, there, symlinks=True)
        shutil.rmtree(path.parent)
        path.parent.symlink_to(there)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = (os.readlink(path),)
        elif not path.is_dir():
            seen = path.stat()
            found[str(path.relative_to(folder))] = path.read_text(), int(seen.st_mtime), seen.st_mode
    return found


def test_a_folder_called_unchanged_has_only_files_that_are_the_same_on_both_sides(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """By what `compare` says of each file, for changes made up at random."""
    monkeypatch.setattr(prepare, "_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("HOME", str(tmp_path))
    draw, work = random.Random(7), tmp_path / "work"
    kinds = ["write", "same times", "mode", "remove", "link"]
    removed: set[str] = set()  # folders from which the laptop has removed a file, which the box remembers
    unchanged_before, changed = 0, 0
    for number in range(60):
        now = Selection(project)
        listed = [(entry.path, entry.stamp, entry.size) for entry in now.entries]
        folders = b"".join(f"{digest} {path}\0".encode() for path, digest in now.folders.items())
        unchanged.unchanged(str(work), folders)
        answer = capsysbinary.readouterr().out.partition(b"\n")[2]
        differ = {path.decode() for path in answer.split(b"\0")[:-1]}
        compare.compare(str(work), b"".join(f"{stamp} {path}\0".encode() for path, stamp, _ in listed), False)
        fields = capsysbinary.readouterr().out.partition(b"\n")[2].split(b"\0")[:-1:2]
        states = {one.split(b" ", 5)[5].decode(): one.split(b" ")[0] for one in fields}
        same = {path for path, state in states.items() if state == b"same"}
        for folder in now.folders:
            files = {path for path, *_ in listed if path.rpartition("/")[0] == folder}
            if folder not in differ:
                assert files <= same
                unchanged_before += 1
            elif files <= same:
                assert folder in removed
            else:
                changed += 1
        for path, _, _ in listed:
            send(project / path, work / path)
        pushed = b"".join(f"{stamp} {size} {path}\0".encode() for path, stamp, size in listed)
        compare.commit(str(work), pushed, "")
        for _ in range(draw.randrange(3)):
            name, kind = draw.choice(NAMES), draw.choice(kinds)
            removed |= {name.rpartition("/")[0]} if kind == "remove" else set()
            change(project, name, kind, number)
        if draw.randrange(2):
            change(work, draw.choice(NAMES), draw.choice([*kinds, "folder is a link"]), number + 100)
    assert min(unchanged_before, changed) > 20


def send(ours: Path, theirs: Path) -> None:
    if theirs.is_symlink() or theirs.is_file():
        theirs.unlink()
    shutil.copy2(ours, theirs, follow_symlinks=False)


@pytest.mark.parametrize("seed", range(2))
def test_what_changed_on_either_side_is_treated_as_with_few_files(
    box: Connection,
    machine: OpenSshMachine,
    project: Path,
    report: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    draw = random.Random(seed)
    kinds = ["write", "same times", "mode", "remove", "link"]
    for number in range(4):
        results = []
        for many, there in ((0, "many"), (10_000, "few")):
            monkeypatch.setattr(listing, "_MANY", many)
            done = sync.push(box, Selection(project), f"~/{there}", report=report, transport="sftp")
            results.append((done.files, done.bytes, sorted(done.kept), tree(machine.home / there)))
        assert results[0] == results[1]
        for _ in range(draw.randrange(3)):
            change(project, draw.choice(NAMES), draw.choice(kinds), number)
        for _ in range(draw.randrange(3)):
            name, kind = draw.choice(NAMES), draw.choice([*kinds, "folder is a link"])
            for there in ("many", "few"):
                change(machine.home / there, name, kind, number + 100)


def test_a_sync_without_a_change_is_one_short_question(
    box: Connection, project: Path, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        put(project / "data" / f"{number}.txt", str(number))
    sync.push(box, Selection(project), "~/work", report=report)
    asked: list[int] = []
    run = box.run
    monkeypatch.setattr(
        box, "run", lambda *words, **more: asked.append(len(more["stdin"])) or run(*words, **more)
    )
    assert sync.push(box, Selection(project), "~/work", report=report).files == 0
    assert len(asked) == 1
    assert asked[0] < 500
    put(project / "deep/a", "changed")
    assert sync.push(box, Selection(project), "~/work", report=report).files == 1
    assert max(asked[1:]) < 1500, "the files of that folder alone are listed"


def test_a_folder_that_was_not_asked_about_is_no_answer(
    box: Connection, project: Path, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_asked", lambda *_: ({}, b"../elsewhere\0"))
    with pytest.raises(MachineError, match="list of files is invalid; nothing was copied"):
        sync.push(box, Selection(project), "~/work", report=report)
