"""With many files, folders in which nothing has changed are not listed; everything else stays as with few."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from testbed import programs
from testbed.openssh import OpenSshMachine

from gpu_box.errors import MachineError
from gpu_box.machine.files import last_list, listing, sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh import system_ssh
from gpu_box.machine.ssh.connection import Connection, Result, connect
from gpu_box.model.machine import Host
from gpu_box.store.files import cache_home
from sync import compare, prepare, unchanged
from sync import tree as tree_of
from tests.paths import REMOTE

from ..conftest import Recorder

NAMES = ["a", "b c", "é.txt", "deep/a", "deep/b", "deep/er/a", "x/y/z", "x/" + "n" * 70]


@pytest.fixture
def box(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    upload_remote.upload(connection, REMOTE)
    monkeypatch.setattr(last_list, "MANY", 0)
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


def question(selection: Selection) -> bytes:
    """What the laptop asks of `unchanged`."""
    return b"".join(f"{digest} {path}\0".encode() for path, digest in selection.folders.items())


def record(selection: Selection) -> bytes:
    """What the laptop sends to `commit` after a whole push."""
    sent = "".join(f"{entry.stamp} {entry.size} {entry.path}\0" for entry in selection.entries)
    return sent.encode() + b"= 0 print\0"


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
        folders = question(now)
        unchanged.unchanged(str(work), lambda folders=folders: folders)
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
        compare.commit(str(work), record(now), "")
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
            monkeypatch.setattr(last_list, "MANY", many)
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

    def count(*words: Any, **more: Any) -> Result:
        stdin = more["stdin"]
        asked.append(len(stdin() if callable(stdin) else stdin))
        return run(*words, **more)

    monkeypatch.setattr(box, "run", count)
    assert sync.push(box, Selection(project), "~/work", report=report).files == 0
    assert len(asked) == 1
    assert asked[0] < 500
    put(project / "deep/a", "changed")
    assert sync.push(box, Selection(project), "~/work", report=report).files == 1
    assert max(asked[1:]) < 1500, "the files of that folder alone are listed"


@pytest.mark.skipif(not programs.find("find"), reason="it needs GNU find")
@pytest.mark.parametrize("seed", range(3))
def test_a_list_that_is_remembered_is_the_list_of_a_walk(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(last_list, "MANY", 0)
    draw, remembered = random.Random(seed), 0
    kinds = [
        "write",
        "same times",
        "mode",
        "remove",
        "link",
        "folder is a link",
        "empty",
        "ignore",
        "swap",
        "no",
    ]
    for number in range(80):
        now = Selection(project, ("*.log",))
        now.begin()
        summary = now.summary
        remembered += "scan" not in now.__dict__
        with monkeypatch.context() as without:
            without.setattr(last_list, "LAST_LIST", False)
            assert Selection(project, ("*.log",)).summary == summary
        name, kind = draw.choice(NAMES), draw.choice(kinds)
        if kind == "empty":
            (project / f"empty {number}").mkdir()
        elif kind == "ignore":
            put(project / ".gitignore", draw.choice(["a\n", "x/\n", "[\n"]))
        elif kind == "swap" and (project / "a").is_file():
            put(project / "new", (project / "a").read_text())
            (project / "new").rename(project / "a")
        elif kind != "no":
            change(project, name, kind, number)
    assert 10 < remembered < 70


def test_a_list_is_made_again_once_git_decides(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git's settings outside the folder may exclude files of it."""
    monkeypatch.setattr(last_list, "MANY", 0)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for _ in range(3):
        assert "a" in {entry.path for entry in Selection(project).entries}
        assert Selection(project).summary.count == len(NAMES)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/project/x\n")
    assert Selection(project).summary.count == len([name for name in NAMES if not name.startswith("x/")])


def test_another_exclusion_makes_another_list(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_list, "MANY", 0)
    for _ in range(3):
        assert Selection(project).summary.count == len(NAMES)
        assert Selection(project, ("deep/",)).summary.count == len(NAMES) - 3


def test_the_box_answers_with_what_find_says_as_it_would_by_looking_at_each_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(prepare, "_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("HOME", str(tmp_path))
    draw, work = random.Random(9), tmp_path / "work"
    kinds = ["write", "same times", "mode", "remove", "link", "folder is a link"]
    looked = []
    really = unchanged._changed
    monkeypatch.setattr(unchanged, "_changed", lambda *words: looked.append(1) or really(*words))
    quick = 0
    for _ in range(100):
        now = Selection(project)
        folders = question(now)
        looked.clear()
        unchanged.unchanged(str(work), lambda folders=folders: folders)
        answer = capsysbinary.readouterr().out.partition(b"\n")[2]
        assert sorted(answer.split(b"\0")[:-1]) == sorted(really(os.fsencode(work), folders))
        quick += not looked
        if draw.randrange(5) == 0:  # a push
            shutil.rmtree(work)
            shutil.copytree(project, work, symlinks=True)
            compare.commit(str(work), record(now), "")
        if draw.randrange(10) == 0:
            change(draw.choice([work, project]), draw.choice(NAMES), draw.choice(kinds), draw.randrange(9))
        if draw.randrange(4) == 0:  # a program's own files are none of ours
            put(work / "results" / str(draw.randrange(99)), "made on the box")
    assert 20 < quick < 80


def test_a_push_that_ends_early_records_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program on the box was started along with the transfer."""
    monkeypatch.setattr(prepare, "_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(project, tmp_path / "work")
    stamp = f"{1_700_000_000 * 10**9:x}.1"
    whole = "".join(f"{stamp} 5 {name}\0" for name in NAMES).encode() + b"= 0 print\0"
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        compare.commit("~/work", whole[:cut], "")
    assert not list(tmp_path.glob("records/*"))
    assert not (tmp_path / ".gpu-box/project").exists()
    compare.commit("~/work", whole, "")
    assert len(list(compare.records(os.fsencode(tmp_path / "work")))) == len(NAMES)
    assert (tmp_path / ".gpu-box/project").read_text() == "print"


def test_a_linked_gitignore_is_read_every_time(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_list, "MANY", 0)
    (tmp_path / "ignore").write_text("a\n")
    (project / ".gitignore").symlink_to(tmp_path / "ignore")
    counts = [Selection(project).summary.count for _ in range(3)]
    (tmp_path / "ignore").write_text("")
    assert Selection(project).summary.count > counts[0] == counts[2]


@pytest.mark.parametrize("damage", ["cut off", "one character", "another folder"])
def test_a_damaged_list_is_made_again(project: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(last_list, "MANY", 0)
    right = [Selection(project).summary for _ in range(3)][0]
    cache = cache_home()
    assert cache
    for file in (cache / "lists").iterdir():
        text = file.read_text()
        wrong = {"cut off": text[:-9], "one character": text.replace("x/y", "x/Y"), "another folder": "{}"}
        assert wrong[damage] != text
        file.write_text(wrong[damage])
    assert Selection(project).summary == right


def test_a_file_changed_within_its_second_is_sent_although_the_record_is_lost(
    connection: Connection, machine: OpenSshMachine, project: Path, report: Recorder
) -> None:
    upload_remote.upload(connection, REMOTE)
    sync.push(connection, Selection(project), "~/work", report=report)
    shutil.rmtree(machine.home / ".gpu-box/sync")
    put(project / "a", "FIRST")
    assert sync.push(connection, Selection(project), "~/work", report=report).files == 1
    assert (machine.home / "work/a").read_text() == "FIRST"


def test_a_file_changed_on_the_box_within_its_second_stays(
    connection: Connection, machine: OpenSshMachine, project: Path, report: Recorder
) -> None:
    upload_remote.upload(connection, REMOTE)
    sync.push(connection, Selection(project), "~/work", report=report)
    (machine.home / "work/a").write_text("BOX's")
    os.utime(machine.home / "work/a", ns=(0, 1_700_000_000_500_000_000))
    done = sync.push(connection, Selection(project), "~/work", report=report)
    assert (done.files, done.kept) == (0, ("a",))
    assert (machine.home / "work/a").read_text() == "BOX's"


def test_only_what_arrived_as_it_was_sent_is_recorded(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("HOME", str(tmp_path))
    put(project / "a", "other", 1_700_000_100)
    stamp = f"{1_700_000_000 * 10**9:x}.1"
    compare.commit(str(project), "".join(f"{stamp} 5 {name}\0" for name in NAMES).encode() + b"= 0 x\0", "")
    known = {path.decode() for _, _, path in compare.records(os.fsencode(project))}
    assert known == set(NAMES) - {"a"}
    assert not (tmp_path / ".gpu-box/project").exists(), "or `up` would take the push for complete"


def test_after_sync_delete_a_folder_is_compared_quickly_again(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync.push(box, Selection(project), "~/work", report=report)
    (project / "deep/a").unlink()
    sync.push(box, Selection(project), "~/work", report=report, delete=True)
    asked: list[str] = []
    monkeypatch.setattr(listing, "compare", lambda *words: asked.append("compare"))
    sync.push(box, Selection(project), "~/work", report=report)
    assert not asked and not (machine.home / "work/deep/a").exists()


def test_a_full_disk_does_not_fail_a_sync_without_a_change(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(prepare, "_RECORDS", str(tmp_path / "records"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unchanged, "write", full)
    unchanged.unchanged(str(project), lambda: b"")
    assert capsysbinary.readouterr().out.endswith(b"\n")


def test_a_write_that_fails_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        prepare.write(str(tmp_path / "sync/record"), b"content")
    assert not list((tmp_path / "sync").iterdir())


def test_a_folder_that_was_not_asked_about_is_no_answer(
    box: Connection, project: Path, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_asked", lambda *_: ({}, b"../elsewhere\0"))
    with pytest.raises(MachineError, match="list of files is invalid; nothing was copied"):
        sync.push(box, Selection(project), "~/work", report=report)


def test_the_contents_of_very_many_files_may_be_compared(
    connection: Connection, machine: OpenSshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their digests are more than any other answer's text."""
    upload_remote.upload(connection, REMOTE)
    monkeypatch.setattr("gpu_box.machine.ssh.connection.MOST_BYTES", 200)
    for folder in (machine.home / "work", tmp_path):
        for number in range(9):
            put(folder / str(number), str(number))
    put(machine.home / "work/3", "else")
    entries = [entry for entry in Selection(tmp_path).entries if entry.path.isdigit()]
    assert listing.same_content(connection, "~/work", tmp_path, entries) == set("01245678")
    (machine.home / ".gpu-box/remote/sync/__main__.py").write_text("while True: print('x' * 64)")
    with pytest.raises(MachineError, match="list of files is invalid"):
        listing.same_content(connection, "~/work", tmp_path, entries)


SHAPES = {"flat": "", "one folder": "data/", "deep": "a/b/c/", "deeper than is looked": "a/b/c/d/e/"}


@pytest.mark.skipif(not programs.find("find"), reason="it needs GNU find")
@pytest.mark.parametrize("shape", SHAPES)
def test_several_finds_see_each_change(tmp_path: Path, shape: str) -> None:
    root = tmp_path / "root"
    odd = ["-name", "(", "a b", "line\nbreak", "*", "é", os.fsdecode(b"\xff")]
    folders = [root / SHAPES[shape] / name for name in [*odd, *map(str, range(20))]]
    for folder in folders:
        put(folder / "file", "1")
        put(folder / "inner" / "deep" / "file", "1")
    put(root / "top", "1")

    def digest() -> str:
        return tree_of.Find(os.fsencode(root), ["venv"]).digest()

    changes: list[Callable[[], object]] = [
        *(partial(put, folder / "inner/deep/file", "2") for folder in folders),
        lambda: put(root / "top", "2"),
        lambda: (folders[3] / "file").chmod(0o600),
        lambda: (folders[3] / "file").rename(folders[4] / "other"),
        lambda: (folders[5] / "inner").rename(folders[6] / "other"),
        lambda: shutil.rmtree(folders[7]),
        lambda: (folders[8] / "new").mkdir(),
        lambda: (root / "new").mkdir(),
        lambda: (root / "link").symlink_to(folders[9]),
        lambda: put(folders[0].parent / "venv2/file", "1"),
    ]
    seen = [digest()]
    for change in changes:
        change()
        seen.append(digest())
        assert digest() == seen[-1] != seen[-2]
    put(folders[0] / "venv/lib/file", "1")
    put(root / "results/1", "1")
    assert digest() == seen[-1]
    assert len(set(seen)) == len(seen)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_find_cannot_read_has_no_digest(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / str(number) / "inner/file", "1")
    (tmp_path / "3/inner").chmod(0)
    assert tree_of.Find(os.fsencode(tmp_path), []).digest() == ""
    (tmp_path / "3/inner").chmod(0o700)


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[Host]:
    """One for each time that Python's own SSH logs in."""
    made: list[Host] = []
    monkeypatch.setattr(sync, "connect", lambda host: made.append(host) or connect(host))
    return made


@pytest.mark.skipif(not (programs.find("ssh") and programs.find("find")), reason="it needs ssh and GNU find")
@pytest.mark.parametrize("early", [True, False])
def test_very_many_files_are_asked_about_by_the_system_s_ssh(
    box: Connection,
    machine: OpenSshMachine,
    project: Path,
    report: Recorder,
    logins: list[Host],
    monkeypatch: pytest.MonkeyPatch,
    early: bool,
) -> None:
    monkeypatch.setattr(sync, "EARLY_QUESTION", early)
    (project / "empty").mkdir()

    def push(files: int, *, log_ins: int, delete: bool = False) -> None:
        logins.clear()
        report.events.clear()
        done = sync.push_to(box.host, Selection(project), "~/work", report=report, delete=delete)
        assert (done.files, len(logins)) == (files, log_ins)
        assert ("note", "", "left out (empty folder): empty") in report.events

    push(len(NAMES), log_ins=1)
    push(0, log_ins=0 if early else 1)
    put(project / "deep/a", "changed here")
    push(1, log_ins=1)
    assert (machine.home / "work/deep/a").read_text() == "changed here"
    push(0, log_ins=0 if early else 1)
    (machine.home / "work/deep/b").unlink()
    push(1, log_ins=1)
    (project / "deep/b").unlink()
    push(0, log_ins=1)  # the box's fingerprint of the project changes
    push(0, log_ins=1, delete=True)
    assert not (machine.home / "work/deep/b").exists()


CUT_OFF = """print('{"folder": "/x", "project": "", "changed": 2}\\ndeep', end="\\0")"""


@pytest.mark.skipif(not (programs.find("ssh") and programs.find("find")), reason="it needs ssh and GNU find")
@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("print('{}')", "list of files is invalid"),
        ("import sys; sys.exit('broken')", "cannot sync: broken"),
        ("print('x' * 9_000_000)", "list of files is invalid"),
        (CUT_OFF, "list of files is invalid"),
    ],
)
def test_a_wrong_answer_to_the_system_s_ssh_is_refused(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, program: str, message: str
) -> None:
    for _ in range(2):
        sync.push_to(box.host, Selection(project), "~/work", report=report)
    (machine.home / ".gpu-box/remote/sync/__main__.py").write_text(program)
    with pytest.raises(MachineError, match=message):
        sync.push_to(box.host, Selection(project), "~/work", report=report)


@pytest.mark.skipif(not (programs.find("ssh") and programs.find("find")), reason="it needs ssh and GNU find")
def test_a_sync_goes_on_where_the_system_s_ssh_does_not_start(
    box: Connection, project: Path, report: Recorder, logins: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        sync.push_to(box.host, Selection(project), "~/work", report=report)
    logins.clear()
    monkeypatch.setattr(system_ssh, "_start", lambda *words: None)
    assert sync.push_to(box.host, Selection(project), "~/work", report=report).files == 0
    assert len(logins) == 1
