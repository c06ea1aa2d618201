"""Sync: changes that no clock shows, files that became another kind, odd names and dates."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.machine.files import sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.model.machine import SyncResult
from tests.paths import REMOTE

from .. import needs
from ..machine.conftest import Recorder, host_of

transports = pytest.mark.parametrize("transport", [None, *needs.TRANSPORTS])


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Connection, Path]]:
    machine = OpenSshMachine(tmp_path_factory.mktemp("sync") / "machine")
    machine.start()
    with connect(host_of(machine)) as connection:
        upload_remote.upload(connection, REMOTE)
        yield connection, machine.home
    machine.stop()


@dataclass
class Two:
    """A project here and its folder there."""

    connection: Connection
    here: Path
    there: Path
    report: Recorder

    def push(self, transport: str | None = None) -> SyncResult:
        dest = f"~/{self.there.name}"
        selection = Selection(self.here)
        return sync.push(self.connection, selection, dest, report=self.report, transport=transport)

    def delete(self) -> int:
        dest, selection = f"~/{self.there.name}", Selection(self.here)
        return sync.push(self.connection, selection, dest, report=self.report, delete=True).deleted

    def pull(self, into: Path) -> SyncResult:
        return sync.pull(self.connection, f"~/{self.there.name}", into, report=self.report)

    @property
    def notes(self) -> list[str]:
        return [line for kind, _, line in self.report.events if kind == "note"]


@pytest.fixture
def two(connection: tuple[Connection, Path], tmp_path: Path) -> Two:
    link, home = connection
    project = tmp_path / "project"
    project.mkdir()
    return Two(link, project, home / f"work-{tmp_path.name}", Recorder())


# vscode-sftp#761
@transports
def test_chmod_alone_travels(two: Two, transport: str | None) -> None:
    script = two.here / "go.sh"
    script.write_text("echo")
    script.chmod(0o644)
    two.push(transport)
    script.chmod(0o755)
    assert two.push(transport).files == 1
    assert (two.there / "go.sh").stat().st_mode & 0o777 == 0o755
    assert two.push(transport).files == 0


# B2#145
@transports
def test_an_older_file_put_back_travels(two: Two, transport: str | None) -> None:
    old, new = two.here / "old.py", two.here / "train.py"
    old.write_text("old")
    new.write_text("new one")
    os.utime(old, (1_600_000_000, 1_600_000_000))
    two.push(transport)
    new.write_text("old")
    os.utime(new, (1_600_000_000, 1_600_000_000))  # cp -p old.py train.py
    result = two.push(transport)
    assert (result.files, result.kept) == (1, ())
    assert (two.there / "train.py").read_text() == "old"


# A relative: same size, same time
@transports
def test_a_change_that_no_clock_shows_travels(two: Two, transport: str | None) -> None:
    file = two.here / "a.py"
    file.write_text("lr = 1")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    two.push(transport)
    file.write_text("lr = 2")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert two.push(transport).files == 1
    assert (two.there / "a.py").read_text() == "lr = 2"
    os.utime(file, (1_700_000_000, 1_700_000_000))  # ctime alone: another laptop, a restored backup
    assert two.push(transport).files == 0


def test_what_changed_on_the_box_is_kept_and_named(two: Two) -> None:
    for name in ("mine.py", "edited there.py", "older there.py"):
        (two.here / name).write_text("pushed")
    two.push()
    (two.there / "edited there.py").write_text("by hand")
    (two.there / "older there.py").write_text("restored")
    os.utime(two.there / "older there.py", (1_600_000_000, 1_600_000_000))
    (two.here / "mine.py").write_text("here")
    result = two.push()
    assert result.files == 1
    assert set(result.kept) == {"edited there.py", "older there.py"}
    assert (two.there / "older there.py").read_text() == "restored"
    assert two.notes[-1].startswith("not overwritten, changed on the box: edited there.py, older there.py")
    (two.here / "edited there.py").write_text("the last word is here")
    os.utime(two.here / "edited there.py", (time.time() + 60, time.time() + 60))
    assert two.push().files == 1
    assert (two.there / "edited there.py").read_text() == "the last word is here"


# codest#3: --delete spares what the box made of a file
def test_delete_spares_what_changed_on_the_box(two: Two) -> None:
    for name in ("gone", "gone but changed there", "stays"):
        (two.here / name).write_text("pushed")
    two.push()
    (two.there / "gone but changed there").write_text("a result")
    (two.here / "gone").unlink()
    (two.here / "gone but changed there").unlink()
    assert two.delete() == 1
    assert {path.name for path in two.there.iterdir()} == {"gone but changed there", "stays"}


# syncthing#2571
@transports
def test_a_link_that_became_a_folder_is_replaced_and_nothing_else_is_touched(
    two: Two, transport: str | None
) -> None:
    (two.here / "shared").mkdir()
    (two.here / "shared/params.json").write_text("shared")
    (two.here / "exp1").symlink_to("shared")
    two.push(transport)
    (two.here / "exp1").unlink()
    (two.here / "exp1").mkdir()
    (two.here / "exp1/params.json").write_text("of exp1")
    two.push(transport)
    assert (two.there / "shared/params.json").read_text() == "shared"
    assert (two.there / "exp1/params.json").read_text() == "of exp1"
    assert not (two.there / "exp1").is_symlink()


KINDS = ("file", "folder", "link")


def make(path: Path, kind: str, content: str) -> None:
    if kind == "file":
        path.write_text(content)
    elif kind == "folder":
        path.mkdir()
        (path / "in").write_text(content)
    else:
        path.symlink_to(content)


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
    else:
        path.unlink()


def look(path: Path) -> tuple[str, str]:
    if path.is_symlink():
        return "link", os.readlink(path)
    return ("folder", (path / "in").read_text()) if path.is_dir() else ("file", path.read_text())


# syncthing#2571, every pair: all in one push
@transports
def test_what_became_another_kind_here_becomes_it_there(two: Two, transport: str | None) -> None:
    pairs = [(before, after) for before in KINDS for after in KINDS]
    for before, after in pairs:
        make(two.here / f"{before}-{after}", before, "1")
    two.push(transport)
    for before, after in pairs:
        clear(two.here / f"{before}-{after}")
        make(two.here / f"{before}-{after}", after, "22")
    two.push(transport)
    for before, after in pairs:
        assert look(two.there / f"{before}-{after}") == (after, "22"), (before, after)


def test_what_the_box_made_in_the_way_is_kept_and_named_and_the_rest_arrives(two: Two) -> None:
    two.there.mkdir()
    make(two.there / "a", "folder", "made there")
    make(two.there / "b", "file", "made there")
    make(two.here / "a", "file", "pushed")
    make(two.here / "b", "folder", "pushed")
    make(two.here / "c", "file", "pushed")
    result = two.push()
    assert set(result.kept) == {"a", "b/in"}
    assert look(two.there / "a") == ("folder", "made there")
    assert look(two.there / "b") == ("file", "made there")
    assert look(two.there / "c") == ("file", "pushed")
    assert two.notes[-1] == "not sent, the box has something else there: a, b/in"


# syncthing#2571, on the way down
def test_kinds_that_differ_on_the_way_down_touch_nothing_outside(two: Two, tmp_path: Path) -> None:
    two.there.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/in").write_text("precious")
    results = tmp_path / "results"
    results.mkdir()
    (results / "link").symlink_to(tmp_path / "outside")
    make(results / "file", "file", "here")
    make(results / "folder", "folder", "here")
    make(two.there / "link", "folder", "there")
    make(two.there / "file", "folder", "there")
    make(two.there / "folder", "file", "there")
    make(two.there / "z", "file", "there")
    with pytest.raises(Exception, match="cannot be copied: .*everything else arrived"):
        two.pull(results)
    assert (tmp_path / "outside/in").read_text() == "precious"
    assert look(results / "link") == ("folder", "there")
    assert look(results / "z") == ("file", "there")
    assert look(results / "file") == ("file", "here")
    assert look(results / "folder") == ("folder", "here")


# Relatives of kagglehub PR 246: long names, names that are no UTF-8, odd dates
@transports
def test_long_names_odd_bytes_and_odd_dates_arrive(two: Two, transport: str | None) -> None:
    names = [
        "n" * 255,
        "é" * 127,
        os.fsdecode(b"caf\xe9.txt"),
        " lead",
        "-rf",
        "a\\b",
        "*?[x]",
        "~",
        "'\"$`!",
    ]
    dates = [0, 1, -1, -2_000_000_000, 2**31, 2**32, 2**33, 1_700_000_000, 1_700_000_001]
    for name, date in zip(names, dates, strict=True):
        (two.here / name).write_text("x")
        os.utime(two.here / name, (date, date))
    (two.here / "line\nbreak").write_text("x")
    deep = two.here
    for _ in range(8):
        deep = deep / ("d" * 100)
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    two.push(transport)
    assert {path.name for path in two.there.iterdir()} == {*names, "d" * 100}
    assert (two.there / deep.relative_to(two.here) / "x").exists()
    assert any("line" in note for note in two.notes)
    assert two.push(transport).files == 0
    two.pull(two.here.parent / "back")
    assert {path.name for path in (two.here.parent / "back").iterdir()} >= set(names)


# ansible#2268, rustup#498: what ~/.bashrc prints is no answer
def test_a_bashrc_that_talks_has_no_effect(two: Two, connection: tuple[Connection, Path]) -> None:
    (connection[1] / ".bashrc").write_text("echo Welcome; printf 'no newline'\n")
    try:
        (two.here / "a").write_text("a")
        (two.here / "big").write_bytes(os.urandom(2_000_000))
        assert two.push().files == 2
        assert two.push().files == 0
        assert two.pull(two.here.parent / "back").files == 2
    finally:
        (connection[1] / ".bashrc").unlink()


# A newcomer's first hour: what --delete takes away
@pytest.mark.parametrize("with_git", [True, False], ids=["git", "no git"])
def test_delete_names_its_files_and_keeps_what_is_ignored_by_now(two: Two, with_git: bool) -> None:
    for name in ("gone.py", "here.bin", "sub/both.log", "sub/old.py"):
        file = two.here / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)
    if with_git:
        subprocess.run(["git", "init", "-q", str(two.here)], check=True)
    two.push()
    (two.here / ".gitignore").write_text("*.bin\n")  # here.bin is here, and ignored by now
    (two.here / "sub" / ".gitignore").write_text("*.log\n")
    for name in ("gone.py", "sub/both.log", "sub/old.py"):  # both.log is neither here nor sent any more
        (two.here / name).unlink()
    dest = f"~/{two.there.name}"
    assert sync.gone(two.connection, Selection(two.here), dest) == ["gone.py", "sub/old.py"]
    assert (two.there / "gone.py").exists(), "asking removes nothing"
    assert two.delete() == 2
    assert "removed on the box: gone.py, sub/old.py" in two.notes
    assert (two.there / "here.bin").exists() and (two.there / "sub" / "both.log").exists()
    assert not (two.there / "gone.py").exists() and not (two.there / "sub" / "old.py").exists()
    assert two.delete() == 0


def test_the_first_sync_of_a_checkout_says_that_git_s_folder_is_never_sent(two: Two) -> None:
    (two.here / ".git").mkdir()
    (two.here / "a.py").write_text("a")
    two.push()
    assert [note for note in two.notes if ".git" in note] == [
        "`.git` is never sent; for git on the box, clone there"
    ]
    assert not (two.there / ".git").exists()
    (two.here / "b.py").write_text("b")
    two.push()
    assert len([note for note in two.notes if ".git" in note]) == 1


def test_the_part_of_a_cancelled_upload_goes_once_the_file_is_not_sent_any_more(two: Two) -> None:
    for name in ("big.bin", "other.bin", "a.py"):
        (two.here / name).write_text(name)
    two.push()
    (two.here / "big.bin").write_text("a new version")
    parts = [two.there / ".big.bin.99-1700000000.gpu-box-part", two.there / ".gpu-box-partial" / "big.bin"]
    other = two.there / ".other.bin.98-1700000000.gpu-box-part"  # being sent from another terminal
    for part in (*parts, other):
        part.parent.mkdir(exist_ok=True)
        part.write_text("half")
    two.push()
    assert not any(part.exists() for part in parts), "a newer version has arrived"
    assert not (two.there / ".gpu-box-partial").exists()
    assert other.exists()
    (two.here / ".gitignore").write_text("other.bin\n")
    two.push()
    assert not other.exists(), "left out by now"
    assert (two.there / "other.bin").exists()


# rsync#233, rsync#670, osync#139, sublime-rsync-ssh#32: spaces at an end, signs of shells and patterns
ODD_NAMES = (
    *("folder /a.txt", " lead/b", "Re: a, great?.pdf", "Snap, [&] Bop/x", "Prelude to…/y", "trailing."),
    *("-rf", "--delete", "#x", ";y", "~z", "a*b", "a\\b", "'q\"", "$(touch x)", "`id`", "%s", "MX1W06~R"),
    *("Dev/a", "dev/a", "CON.txt", "n" * 250, "\u00e9", "e\u0301", "emoji😀", "ünï/ço"),
)


# hrsync PR 5, bsync#50: and in the names of the two folders
@transports
def test_names_that_shells_and_other_systems_dislike_arrive_and_come_back(
    connection: tuple[Connection, Path], tmp_path: Path, transport: str | None
) -> None:
    link, home = connection
    project, dest = tmp_path / "my 'project' & \"more\"", f"~/work {transport}'s $x"
    for name in ODD_NAMES:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    sync.push(link, Selection(project), dest, report=Recorder(), transport=transport)
    sync.pull(link, dest, tmp_path / "back", report=Recorder())
    for root in (home / dest[2:], tmp_path / "back"):
        assert {name for name in ODD_NAMES if (root / name).read_text() == name} == set(ODD_NAMES)
