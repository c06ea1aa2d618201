from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import InputError, MachineError, MachineUnreachable
from gpu_box.machine.files import hold, sftp, sync, upload_remote
from gpu_box.machine.files.selection import Entry, Selection
from gpu_box.machine.files.transfer import Transfer
from gpu_box.machine.ssh.connection import Connection, connect
from tests.paths import REMOTE

from ... import needs
from ..conftest import Recorder, host_of

transports = pytest.mark.parametrize("transport", needs.TRANSPORTS)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder, {"train.py": "print(1)", "src/deep/model.py": "model", "odd name 'é' $x.txt": "odd"})
    (folder / "train.py").chmod(0o755)
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def tree(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


@transports
def test_a_project_arrives_as_it_is(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, transport: str
) -> None:
    (project / "link").symlink_to("src/deep/model.py")
    (project / "out").symlink_to("/etc/hostname")
    result = sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    work = machine.home / "work"
    (project / "out").unlink()  # leads out of the project: stayed here
    assert tree(work) == tree(project)
    assert os.readlink(work / "link") == "src/deep/model.py"
    assert (work / "train.py").stat().st_mode & 0o777 == 0o755
    assert int((work / "train.py").stat().st_mtime) == int((project / "train.py").stat().st_mtime)
    assert (result.files, result.transport) == (4, transport)
    assert report.of("done") == ["sync"]


def test_the_box_is_held_while_files_travel_and_not_after(
    box: Connection,
    machine: OpenSshMachine,
    project: Path,
    report: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hold, "_EVERY_S", 0.05)
    mark, seen = machine.home / ".gpu-box/sync/active", []

    def slowly(*_: object, **__: object) -> None:
        began = mark.stat().st_mtime_ns
        deadline = time.monotonic() + 60
        while mark.stat().st_mtime_ns == began and time.monotonic() < deadline:
            time.sleep(0.05)
        seen.append(mark.stat().st_mtime_ns > began)

    monkeypatch.setattr(sftp, "move", slowly)
    monkeypatch.setattr(sftp, "fetch", slowly)
    sync.push(box, Selection(project), "~/work", report=report, transport="sftp")
    write(machine.home / "results", {"loss.csv": "1"})
    sync.pull(box, "~/results", project, report=report)
    assert seen == [True, True]
    after = mark.stat().st_mtime_ns
    time.sleep(0.3)
    assert mark.stat().st_mtime_ns == after


@needs.rsync
def test_little_does_not_wait_for_rsync_to_log_in(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder
) -> None:
    write(project, {"data.csv": "1,2\n" * 500_000})
    assert sync.push(box, Selection(project), "~/work", report=report).transport == "rsync"
    write(project, {"train.py": "print('edited')"})
    assert sync.push(box, Selection(project), "~/work", report=report).transport == "sftp"
    assert tree(machine.home / "work") == tree(project)


@transports
def test_only_what_changed_travels(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, transport: str
) -> None:
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    again = sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert (again.files, again.bytes, again.transport) == (0, 0, "nothing")
    write(project, {"train.py": "print(2, 3)"})
    changed = sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert (changed.files, changed.bytes) == (1, len("print(2, 3)"))
    assert (machine.home / "work/train.py").read_text() == "print(2, 3)"


@transports
def test_files_ignored_by_git_are_not_sent(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, transport: str
) -> None:
    write(
        project,
        {
            ".gitignore": "*.log\n!keep.log\n/build/\n",
            "a.log": "", "keep.log": "", "build/x": "", "src/build/y": "",
            "src/.gitignore": "*.tmp\n!/important.log\n", "src/b.tmp": "", "src/important.log": "",
            "c.tmp": "",
            ".git/config": "", "x/__pycache__/m.pyc": "", ".kaggle/kaggle.json": "", ".venv/bin/python": "",
            "data/huge.bin": "", "results/old.csv": "", "src/results/kept.csv": "",
        },
    )  # fmt: skip
    sync.push(box, Selection(project, ("data/",)), "~/work", report=report, transport=transport)
    there = set(tree(machine.home / "work"))
    assert there == {
        ".gitignore", "keep.log", "src/build/y", "src/.gitignore", "src/important.log", "c.tmp",
        "src/results/kept.csv", "train.py", "src/deep/model.py", "odd name 'é' $x.txt",
    }  # fmt: skip


def test_the_selection_without_git_equals_git_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files as `git ls-files --others --exclude-standard`, for patterns made up at random."""
    from gpu_box.machine.files import git
    from gpu_box.machine.files.selection import select

    monkeypatch.setattr(git, "list_files", lambda folder: None)
    rng = random.Random(7)
    names = ["a", "b.txt", "c.log", "d"]
    for round_ in range(12):
        folder = tmp_path / str(round_)
        folder.mkdir()
        subprocess.run(["git", "init", "-q", folder], check=True)
        for _ in range(30):
            parts = [rng.choice(["a", "d", "x"]) for _ in range(rng.randrange(3))]
            with contextlib.suppress(OSError):
                write(folder, {"/".join([*parts, rng.choice(names)]): "x"})
        for place in ["", "a", "d/x"]:
            if (folder / place).is_dir():
                globs = rng.choices(["*.log", "/a", "d/", "**/b.txt", "x/*", "*", "*/", "*.txt", "d/**"], k=4)
                patterns = [rng.choice(["!", ""]) + glob for glob in globs]
                (folder / place / ".gitignore").write_text("\n".join(patterns) + "\n")
        listed = subprocess.run(
            ["git", "-C", folder, "ls-files", "-z", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
        )
        expected = sorted(os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
        assert [entry.path for entry in select(folder, []).entries] == expected


@transports
def test_newer_work_on_the_box_is_kept(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, transport: str
) -> None:
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    there = machine.home / "work/train.py"
    there.write_text("edited on the box")
    os.utime(there, (time.time() + 60, time.time() + 60))
    result = sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert result.kept == ("train.py",)
    assert there.read_text() == "edited on the box"
    assert ("note", "", "not overwritten, changed on the box: train.py") in report.events


@transports
def test_delete_removes_what_was_synced_and_nothing_else(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, transport: str
) -> None:
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    write(machine.home / "work", {"results/metrics.json": "made there", "src/deep/notes": "mine"})
    (project / "src/deep/model.py").unlink()
    (project / "train.py").unlink()
    assert sync.push(box, Selection(project), "~/work", report=report, transport=transport).deleted == 0
    assert (machine.home / "work/train.py").exists()
    result = sync.push(box, Selection(project), "~/work", report=report, transport=transport, delete=True)
    assert result.deleted == 2
    assert set(tree(machine.home / "work")) == {
        "odd name 'é' $x.txt", "results/metrics.json", "src/deep/notes",
    }  # fmt: skip


def test_results_come_down_also_those_that_git_ignores(
    box: Connection, machine: OpenSshMachine, tmp_path: Path, report: Recorder
) -> None:
    results = machine.home / "work/results"
    write(results, {".gitignore": "*", "curve.png": "png", "run 1/metrics.json": "{}", "skip/x": ""})
    (results / "evil").symlink_to("../../../etc/passwd")
    here = tmp_path / "results"
    result = sync.pull(box, "~/work/results", here, exclude=["skip/"], report=report)
    assert tree(here) == {".gitignore": "*", "curve.png": "png", "run 1/metrics.json": "{}"}
    assert result.files == 3
    assert not (here / "evil").is_symlink()
    assert sync.pull(box, "~/work/results", here, exclude=["skip/"], report=report).files == 0
    assert sync.pull(box, "~/work/results/curve.png", tmp_path / "one", report=report).files == 1
    assert tree(tmp_path / "one") == {"curve.png": "png"}
    assert (machine.home / "work/results/skip/x").exists()


def test_a_missing_path_is_one_clear_line(box: Connection, tmp_path: Path, report: Recorder) -> None:
    with pytest.raises(InputError, match="there is no ~/work/nothing on the box"):
        sync.pull(box, "~/work/nothing", tmp_path, report=report)
    with pytest.raises(InputError, match="no such folder"):
        sync.push(box, Selection(tmp_path / "nothing"), "~/work", report=report)


@transports
def test_a_cut_sync_goes_on_where_it_was(
    machine: OpenSshMachine, box: Connection, tmp_path: Path, report: Recorder, transport: str
) -> None:
    project = tmp_path / "big"
    project.mkdir()
    (project / "noise.bin").write_bytes(random.Random(1).randbytes(60_000_000))
    for i in range(200):
        (project / f"{i}.txt").write_text(str(i))
    cutter = cut_once_under_way(machine)
    with pytest.raises(MachineUnreachable, match="to continue"):
        sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    cutter.join()
    work = machine.home / "work"
    assert not (work / "noise.bin").exists()  # a part never has the file's name
    with connect(host_of(machine)) as again:
        sync.push(again, Selection(project), "~/work", report=report, transport=transport)
    assert (work / "noise.bin").read_bytes() == (project / "noise.bin").read_bytes()
    assert len(list(work.glob("*.txt"))) == 200
    assert not list(work.glob(".*part"))


def cut_once_under_way(machine: OpenSshMachine) -> threading.Thread:
    """Cuts the link when a good part of the large file is on the box, and before it is whole."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for path in (machine.home / "work").glob(".noise*"):
                with contextlib.suppress(OSError):
                    if path.stat().st_size > 2_000_000:
                        machine.cut_connections()
                        return
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    needs.require_programs("mount")
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs root, to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_reported_before_anything_is_sent(
    machine: OpenSshMachine, box: Connection, tmp_path: Path, report: Recorder
) -> None:
    project = tmp_path / "big"
    project.mkdir()
    (project / "a.bin").write_bytes(bytes(30_000_000))
    work = machine.home / "work"
    with small_disk(work, "size=20m"):
        with pytest.raises(MachineError, match=r"disk of box is full: \d+ MB free, 30 MB needed.*continues"):
            sync.push(box, Selection(project), "~/work", report=report)
        assert list(work.iterdir()) == []


@transports
def test_a_disk_that_fills_up_meanwhile_is_one_clear_line(
    machine: OpenSshMachine, box: Connection, tmp_path: Path, report: Recorder, transport: str
) -> None:
    project = tmp_path / "many"
    write(project, {f"{i}.txt": "x" for i in range(100)})
    with (
        small_disk(machine.home / "work", "size=40m,nr_inodes=20"),
        pytest.raises(MachineError, match=r"disk of box is full.*Make room"),
    ):
        sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert report.of("failed") == ["sync"]


def test_watching_sends_each_change(
    machine: OpenSshMachine, box: Connection, project: Path, report: Recorder
) -> None:
    until = threading.Event()
    watcher = threading.Thread(
        target=sync.watch, args=(box.host, project, "~/work"), kwargs={"report": report, "until": until}
    )
    watcher.start()
    try:
        assert appears(machine.home / "work/train.py", "print(1)")
        write(project, {"new.py": "new"})
        assert appears(machine.home / "work/new.py", "new")
        machine.cut_connections()
        write(project, {"new.py": "newer still"})
        assert appears(machine.home / "work/new.py", "newer still")
        now = Selection(project).fingerprint
        assert appears(machine.home / ".gpu-box/project", now), "the next `up` has nothing to send"
    finally:
        until.set()
        watcher.join(15)


def appears(path: Path, content: str) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.read_text() == content:
            return True
        time.sleep(0.05)
    return False


def test_without_rsync_on_the_box_sftp_serves(
    make_machine, project: Path, tmp_path: Path, report: Recorder
) -> None:  # type: ignore[no-untyped-def]
    from ..test_setup import only

    tools = only(tmp_path / "bin", "sh", "bash", "tar", "mkdir", "mv", "rm", "ln", "readlink")
    python = Path(
        subprocess.run(
            ["python3", "-c", "import sys; print(sys.executable)"], capture_output=True, text=True
        ).stdout.strip()
    )
    (tools / "python3").symlink_to(python)
    bare = make_machine(path=str(tools))
    with connect(host_of(bare)) as connection:
        upload_remote.upload(connection, REMOTE)
        assert sync.push(connection, Selection(project), "~/work", report=report).transport == "sftp"
    assert tree(bare.home / "work") == tree(project)


def test_without_rsync_small_files_travel_together(
    box: Connection,
    machine: OpenSshMachine,
    tmp_path: Path,
    report: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each command and each SFTP session is a channel, and some round trips."""
    project = tmp_path / "many"
    write(project, {f"{n % 7}/{n} é.txt": f"{n}" * n for n in range(300)})
    (project / "link").symlink_to("3/3 é.txt")
    (project / "0/0 é.txt").chmod(0o755)
    channels = []
    opened = box._transport.open_session
    monkeypatch.setattr(box._transport, "open_session", lambda *a, **k: channels.append(1) or opened(*a, **k))
    assert sync.push(box, Selection(project), "~/work", report=report, transport="sftp").files == 301
    assert len(channels) == 3  # what is there, the stream, and what to remember
    work = machine.home / "work"
    assert tree(work) == tree(project)
    assert os.readlink(work / "link") == "3/3 é.txt"
    assert (work / "0/0 é.txt").stat().st_mode & 0o777 == 0o755
    assert sync.push(box, Selection(project), "~/work", report=report, transport="sftp").files == 0


@needs.rsync
def test_an_rsync_that_had_nothing_to_bring_is_not_left_behind(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder
) -> None:
    sync.push(box, Selection(project), "~/work", report=report)
    assert sync.push(box, Selection(project), "~/work", report=report).transport == "nothing"
    children = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True
    )
    assert "rsync" not in children.stdout.split()


def test_a_box_that_is_not_set_up_says_so(connection: Connection, project: Path, report: Recorder) -> None:
    with pytest.raises(MachineError, match="not set up yet"):
        sync.push(connection, Selection(project), "~/work", report=report)


@pytest.mark.parametrize(
    ("percent", "left_s", "shown"),
    [
        (0, None, "0% of 5.0 MB"),
        (40, 12.3, "40% of 5.0 MB, 12 s left"),
        (99, 0.2, "99% of 5.0 MB"),
        (100, 7, "100% of 5.0 MB"),
    ],
)
def test_progress_shows_the_time_left(
    percent: int, left_s: float | None, shown: str, report: Recorder
) -> None:
    entry = Entry(path="a", size=5_000_000, mtime=0, mode=0o644)
    transfer = Transfer(here=Path(), there="", entries=(entry,), up=True, report=report, step="sync")
    transfer.show(percent, left_s)
    assert report.events == [("update", "sync", shown)]


@transports
def test_a_sync_shows_how_far_it_is(
    box: Connection, tmp_path: Path, report: Recorder, transport: str
) -> None:
    project = tmp_path / "big"
    project.mkdir()
    (project / "noise.bin").write_bytes(random.Random(1).randbytes(8_000_000))
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert ("update", "sync", "100% of 8.0 MB") in report.events


@transports
def test_a_folder_with_an_apostrophe_and_a_dollar_is_a_folder_like_any_other(
    box: Connection, machine: OpenSshMachine, project: Path, report: Recorder, transport: str
) -> None:
    (project / "large").write_bytes(b"x" * 1_100_000)
    sync.push(box, Selection(project), "~/it's $HOME", report=report, transport=transport)
    assert tree(machine.home / "it's $HOME") == tree(project)
    sync.pull(box, "~/it's $HOME", project / "back", report=report)
    assert (project / "back/large").stat().st_size == 1_100_000


def test_a_full_disk_is_named_in_a_folder_with_an_apostrophe(
    box: Connection, machine: OpenSshMachine, report: Recorder
) -> None:
    there = machine.home / "it's"
    there.mkdir()
    entry = Entry(path="a", size=1 << 60, mtime=0, mode=0o644)
    transfer = Transfer(here=there, there=str(there), entries=(entry,), up=True, report=report, step="sync")
    with box.sftp() as client:
        error = sftp._refused(box, client, transfer, entry, OSError("Failure"))
    assert "the disk of box is full" in str(error)
    assert len(str(sftp._not_copied(box, entry, OSError("\x1b" * 10**6)))) < 2000
