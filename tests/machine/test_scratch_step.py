"""What set-up says of ~/scratch, and when it has something to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scratch import scratch as nvme
from setup import records
from setup.desired import Desired
from setup.steps import scratch
from watch.read.scratch import Scratch

NVME = Scratch("/opt/dlami/nvme", 125_000_000_000, 0)
WHY = "/dev/nvme1n1 is in use or holds data, and is left alone"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with systemd on which the unit is installed and has run."""
    monkeypatch.setattr(scratch, "_has_unit", lambda: True)
    monkeypatch.setattr(scratch, "_PATH", tmp_path / "scratch")
    monkeypatch.setattr(nvme, "RECORD", str(tmp_path / "record.json"))
    monkeypatch.setattr(records, "_STEPS", tmp_path / "steps")
    records.write("scratch", scratch._fingerprint(), "")
    return tmp_path


def state(home: Path, monkeypatch: pytest.MonkeyPatch, found: Scratch | None, why: str = "") -> str:
    mount = found.mount if found else ""
    (home / "record.json").write_text(json.dumps({"mount": mount, "why": why, "devices": 1}))
    monkeypatch.setattr(scratch, "scratch", lambda: found)
    said = scratch.check(Desired())
    return f"{said.status}: {said.line}"


def test_local_nvme_is_shown_with_its_size(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "scratch").symlink_to(NVME.mount)
    said = state(home, monkeypatch, NVME)
    assert said == "done: ~/scratch is 125 GB of local NVMe, erased at every stop"


def test_without_nvme_it_says_that_it_is_a_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state(home, monkeypatch, None) == "needed: ~/scratch is missing"
    (home / "scratch").mkdir()
    assert state(home, monkeypatch, None) == "done: ~/scratch is a folder of the disk"
    assert state(home, monkeypatch, None, WHY) == f"unavailable: ~/scratch is a folder of the disk: {WHY}"


def test_a_folder_is_replaced_by_the_nvme_only_while_it_is_empty(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "scratch").mkdir()
    assert state(home, monkeypatch, NVME).startswith("needed: ")
    (home / "scratch" / "mine").touch()
    assert state(home, monkeypatch, NVME) == (
        "unavailable: ~/scratch is yours; the local NVMe is /opt/dlami/nvme, erased at every stop"
    )


def test_after_a_boot_at_which_the_unit_has_not_run_it_is_started(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "scratch").mkdir()
    assert scratch.check(Desired()).status == "needed"  # /run has no record
    state(home, monkeypatch, None)
    records.write("scratch", "an older version", "")
    assert scratch.check(Desired()).status == "needed"
