"""`sync` writes and deletes below ~/work only, whatever links are there from before or by hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.machine.files import sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh.connection import Connection
from tests.paths import REMOTE

from .. import needs
from ..machine.conftest import Recorder

transports = pytest.mark.parametrize("transport", needs.TRANSPORTS)
# One that goes in the stream, and one that goes by SFTP where there is no rsync.
sizes = pytest.mark.parametrize("size", [10, 2_000_000])


@pytest.fixture
def box(connection: Connection) -> Connection:
    upload_remote.upload(connection, REMOTE)
    return connection


@pytest.fixture
def work(machine: OpenSshMachine) -> Path:
    folder = machine.home / "work"
    folder.mkdir()
    return folder


@transports
@sizes
def test_a_link_that_became_a_folder_is_replaced_and_what_it_led_to_is_as_it_was(
    box: Connection, work: Path, tmp_path: Path, report: Recorder, transport: str, size: int
) -> None:
    project = tmp_path / "project"
    (project / "shared").mkdir(parents=True)
    (project / "shared/params.json").write_text("shared")
    (project / "exp1").symlink_to("shared")
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    (project / "exp1").unlink()
    (project / "exp1").mkdir()
    (project / "exp1/params.json").write_text("x" * size)
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert (work / "shared/params.json").read_text() == "shared"
    assert (work / "exp1/params.json").read_text() == "x" * size
    assert not (work / "exp1").is_symlink()


@transports
@sizes
def test_a_link_on_the_box_is_no_way_out_of_work(
    box: Connection, work: Path, tmp_path: Path, report: Recorder, transport: str, size: int
) -> None:
    outside, project = work.parent / "outside", tmp_path / "project"
    (project / "a/b").mkdir(parents=True)
    (project / "a/b/authorized_keys").write_text("x" * size)
    (project / "file").write_text("x" * size)
    outside.mkdir()
    (outside / "authorized_keys").write_text("precious")
    (work / "a").mkdir()
    (work / "a/b").symlink_to(outside)
    (work / "file").symlink_to(outside / "authorized_keys")
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert (outside / "authorized_keys").read_text() == "precious"
    assert (work / "a/b/authorized_keys").read_text() == (work / "file").read_text() == "x" * size


@transports
def test_delete_does_not_follow_a_link_either(
    box: Connection, machine: OpenSshMachine, work: Path, tmp_path: Path, report: Recorder, transport: str
) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (project / "data/a.csv").write_text("a")
    (project / "keep").write_text("keep")
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    (work / "data").rename(machine.home / "disk")
    (work / "data").symlink_to(machine.home / "disk")
    shutil.rmtree(project / "data")
    result = sync.push(box, Selection(project), "~/work", report=report, transport=transport, delete=True)
    assert result.deleted == 0
    assert (machine.home / "disk/a.csv").read_text() == "a"


@transports
def test_a_file_of_the_box_in_the_way_of_a_folder_is_kept_and_said(
    box: Connection, work: Path, tmp_path: Path, report: Recorder, transport: str
) -> None:
    project = tmp_path / "project"
    (project / "model").mkdir(parents=True)
    (project / "model/net.py").write_text("x")
    (work / "model").write_text("made there")
    result = sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert result.kept == ("model/net.py",)
    assert ("note", "", "not sent, the box has something else there: model/net.py") in report.events
    assert (work / "model").read_text() == "made there"


@transports
@sizes
def test_a_setuid_program_goes_up_as_a_plain_one(
    box: Connection, work: Path, tmp_path: Path, report: Recorder, transport: str, size: int
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tool").write_text("x" * size)
    (project / "tool").chmod(0o7755)
    sync.push(box, Selection(project), "~/work", report=report, transport=transport)
    assert (work / "tool").stat().st_mode & 0o7777 == 0o755


def test_the_rest_of_a_cut_sync_is_not_looked_for_behind_a_link(
    box: Connection, machine: OpenSshMachine, work: Path, tmp_path: Path, report: Recorder
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (machine.home / "precious").write_text("precious")
    for name, size in (("small", 10), ("large", 2_000_000)):
        (project / name).write_text("x" * size)
        os.utime(project / name, (1_700_000_000, 1_700_000_000))
        (work / f".{name}.{size}-1700000000.gpu-box-part").symlink_to("../precious")
    sync.push(box, Selection(project), "~/work", report=report, transport="sftp")
    assert (machine.home / "precious").read_text() == "precious"
    assert {name: (work / name).stat().st_size for name in ("small", "large")} == {
        "small": 10,
        "large": 2_000_000,
    }
