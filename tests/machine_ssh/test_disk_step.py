"""What the kernel says of a root partition, and what it says must be grown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REMOTE = Path(__file__).parents[2] / "remote"
GIB = (1 << 30) // 512  # sectors


@pytest.fixture
def disk_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(REMOTE))
    for name in [name for name in sys.modules if name == "setup" or name.startswith("setup.")]:
        monkeypatch.delitem(sys.modules, name)
    from setup.steps import disk

    return disk


def blocks(tmp_path: Path, disk_gib: float, *partitions: tuple[str, int, float, float]) -> Path:
    """A /sys/class/block: partitions as (name, number, start, size), in GiB."""
    device = tmp_path / "devices" / "nvme0n1"
    shown = tmp_path / "class"
    device.mkdir(parents=True)
    shown.mkdir()
    (device / "size").write_text(f"{int(disk_gib * GIB)}\n")
    (shown / "nvme0n1").symlink_to(device)
    for name, number, start, size in partitions:
        (device / name).mkdir()
        for key, value in (("partition", number), ("start", int(start * GIB)), ("size", int(size * GIB))):
            (device / name / key).write_text(f"{value}\n")
        (shown / name).symlink_to(device / name)
    return shown


def test_a_grown_disk_has_room_behind_its_root(tmp_path: Path, disk_step) -> None:
    # As Ubuntu's images: the root first by number, behind the boot partitions on the disk.
    parts = [("nvme0n1p1", 1, 1, 99), ("nvme0n1p14", 14, 0.002, 0.004), ("nvme0n1p15", 15, 0.01, 0.1)]
    found = disk_step.located("nvme0n1p1", "ext4", blocks(tmp_path, 150, *parts))
    assert (found.disk, found.number, found.behind) == ("nvme0n1", 1, 50 << 30)


def test_room_that_another_partition_takes_is_none(tmp_path: Path, disk_step) -> None:
    parts = [("nvme0n1p1", 1, 1, 49), ("nvme0n1p2", 2, 50, 50)]
    assert disk_step.located("nvme0n1p1", "ext4", blocks(tmp_path, 150, *parts)).behind == 0


def test_a_file_system_on_a_whole_disk_has_no_partition_to_grow(tmp_path: Path, disk_step) -> None:
    assert disk_step.located("nvme0n1", "xfs", blocks(tmp_path, 150)).disk == ""


@pytest.mark.parametrize(
    ("behind", "kind", "root", "status"),
    [
        (50 << 30, "ext4", [], "needed"),
        (50 << 30, "xfs", ["sudo", "-n"], "needed"),
        (50 << 30, "btrfs", [], "unavailable"),
        (50 << 30, "ext4", None, "unavailable"),
        (1 << 20, "ext4", [], "done"),
    ],
)
def test_it_is_needed_where_it_is_worth_it_and_can_be_done(
    behind: int, kind: str, root: list[str] | None, status: str, disk_step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_step, "find", lambda: disk_step.Root("nvme0n1p1", kind, "nvme0n1", 1, behind))
    monkeypatch.setattr(disk_step, "as_root", lambda: root)
    monkeypatch.setattr(disk_step.shutil, "which", lambda name: f"/usr/bin/{name}")
    state = disk_step.check(None)
    assert state.status == status
    assert status != "needed" or "50 GiB" in state.line


def test_partition_and_file_system_are_grown_in_this_order(
    disk_step, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    class Session:
        def run(self, command: list[str], **_: object) -> str:
            ran.append(command)
            return ""

    behind = iter([50 << 30, 0])
    monkeypatch.setattr(disk_step, "find", lambda: disk_step.Root("sda1", "ext4", "sda", 1, next(behind)))
    monkeypatch.setattr(disk_step, "as_root", lambda: ["sudo", "-n"])
    assert disk_step.apply(None, Session()).status == "done"
    assert ran == [["sudo", "-n", "growpart", "/dev/sda", "1"], ["sudo", "-n", "resize2fs", "/dev/sda1"]]


def test_a_process_of_the_laptop_leaves_the_laptop_s_disk_alone(
    disk_step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_BOX_SSHD_DIR", "/somewhere")
    assert disk_step.check(None).status == "done"
