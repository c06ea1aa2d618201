"""Files of `run --pull`: whole, only those that were asked for, from a box that may lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.machine.files import sftp, sync
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.files.shared import Folder
from gpu_box.machine.files.transfer import Transfer
from gpu_box.machine.ssh.connection import Connection

from ..conftest import Recorder

LONG_AGO = 1_790_000_000


@pytest.fixture
def work(machine: OpenSshMachine) -> Path:
    folder = machine.home / "work"
    for name in ("ckpt/1.pt", "ckpt/deep/2.pt", "ckpt/notes.txt", "other.pt"):
        make(folder / name, name)
    return folder


def make(path: Path, content: str, at: int = LONG_AGO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (at, at))


def pull(box: Connection, to: Path, *patterns: str, ended: bool = True) -> set[str]:
    to.mkdir(exist_ok=True)
    sync.pull(box, "~/work", to, report=Recorder(), patterns=patterns, ended=ended)
    return {str(path.relative_to(to)) for path in to.rglob("*") if path.is_file()}


def test_the_files_that_match_arrive_at_their_place(box: Connection, work: Path, tmp_path: Path) -> None:
    assert pull(box, tmp_path / "a", "ckpt/*.pt") == {"ckpt/1.pt"}
    assert pull(box, tmp_path / "b", "ckpt/**/*.pt", "none*") == {"ckpt/1.pt", "ckpt/deep/2.pt"}
    assert pull(box, tmp_path / "c", "ckpt") == {"ckpt/1.pt", "ckpt/deep/2.pt", "ckpt/notes.txt"}
    assert (tmp_path / "c/ckpt/1.pt").read_text() == "ckpt/1.pt"


def test_a_file_that_is_written_or_has_just_changed_waits(
    box: Connection, work: Path, tmp_path: Path
) -> None:
    make(work / "ckpt/new.pt", "new", at=4_000_000_000)
    writes = "import sys; file = open(sys.argv[1], 'r+'); print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", writes, str(work / "ckpt/1.pt")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdin
        writer.stdout.readline()
        assert pull(box, tmp_path / "here", "ckpt/*.pt", ended=False) == set()
        writer.stdin.close()
    assert pull(box, tmp_path / "here", "ckpt/*.pt", ended=False) == {"ckpt/1.pt"}
    make(work / "ckpt/new.pt", "new")
    assert pull(box, tmp_path / "here", "ckpt/*.pt") == {"ckpt/1.pt", "ckpt/new.pt"}


@pytest.mark.parametrize(("whole", "arrives"), [(True, "before"), (False, "ckpt/1.pt")])
def test_a_file_that_changed_since_it_was_listed_leaves_the_one_here_as_it_is(
    box: Connection, work: Path, tmp_path: Path, whole: bool, arrives: str
) -> None:
    make(tmp_path / "here/ckpt/1.pt", "before")
    entry = Entry(path="ckpt/1.pt", size=len("ckpt/1.pt"), mtime=LONG_AGO - 60, mode=0o644)
    transfer = Transfer(
        here=tmp_path / "here", there=str(work), entries=(entry,), up=False, report=Recorder(), step="sync",
        whole=whole,
    )  # fmt: skip
    with Folder(os.fsencode(tmp_path / "here")) as folder:
        sftp.fetch(box, transfer, folder)
    assert (tmp_path / "here/ckpt/1.pt").read_text() == arrives
    assert [path.name for path in (tmp_path / "here/ckpt").iterdir()] == ["1.pt"]


def test_a_box_that_lists_more_than_was_asked_for_plants_nothing(
    box: Connection, machine: OpenSshMachine, work: Path, tmp_path: Path
) -> None:
    make(work / "train.py", "pwned")
    lies = (machine.home / ".gpu-box/remote").resolve() / "sync/whole.py"
    lies.write_text(
        "from sync.listing import listing\ndef whole(name, patterns, *, ended):\n    listing(name)\n"
    )
    assert pull(box, tmp_path / "here", "ckpt/*.pt") == {"ckpt/1.pt"}
