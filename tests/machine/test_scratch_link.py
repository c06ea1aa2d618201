"""Where ~/scratch leads, and what of the user's own stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scratch import scratch


@pytest.fixture
def user_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder; `PLACE` is where the NVMe is mounted."""
    monkeypatch.setattr(scratch, "PLACE", str(tmp_path / "nvme"))
    monkeypatch.setattr(scratch, "RECORD", str(tmp_path / "record.json"))
    (tmp_path / "nvme").mkdir()
    (tmp_path / "record.json").write_text(json.dumps({"mount": scratch.PLACE}))
    home = tmp_path / "user"
    home.mkdir()
    return home


def test_the_user_s_files_in_scratch_stay(user_home: Path) -> None:
    (user_home / "scratch").mkdir()
    (user_home / "scratch" / "mine").touch()
    scratch.link(str(user_home))
    assert (user_home / "scratch" / "mine").exists() and not (user_home / "scratch").is_symlink()


def test_a_link_of_the_user_s_own_stays(user_home: Path, tmp_path: Path) -> None:
    (user_home / "scratch").symlink_to(tmp_path)
    scratch.link(str(user_home))
    assert os.readlink(user_home / "scratch") == str(tmp_path)


def test_on_a_type_without_nvme_it_is_a_folder_again(user_home: Path, tmp_path: Path) -> None:
    scratch.link(str(user_home))
    assert (user_home / "scratch").is_symlink()
    assert (user_home / "scratch" / "tmp").stat().st_mode & 0o777 == 0o700
    (tmp_path / "record.json").write_text(json.dumps({"mount": "", "why": ""}))
    scratch.link(str(user_home))
    assert (user_home / "scratch").is_dir() and not (user_home / "scratch").is_symlink()


def test_a_volume_over_several_devices_is_known_by_what_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel shows the Deep Learning AMI's LVM volume, 253:0, and a partition, 259:3."""
    monkeypatch.setattr(scratch, "NUMBERS", str(tmp_path / "dev"))
    (tmp_path / "dev").mkdir()
    for number, device in (
        ("259:1", "nvme1n1"),
        ("259:2", "nvme2n1"),
        ("259:3", "nvme1n1/nvme1n1p1"),
        ("253:0", "dm-0"),
    ):
        folder = tmp_path / "devices" / device
        folder.mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
        (tmp_path / "dev" / number).symlink_to(folder)
    (tmp_path / "devices" / "dm-0" / "slaves").mkdir()
    for device in ("nvme1n1", "nvme2n1"):
        (tmp_path / "devices" / "dm-0" / "slaves" / device).symlink_to(tmp_path / "devices" / device)
    assert all(scratch._lies_on(number, ["/dev/nvme1n1"]) for number in ("253:0", "259:1", "259:3"))
    assert not any(scratch._lies_on(number, ["/dev/nvme3n1"]) for number in ("253:0", "259:1", "0:42"))
