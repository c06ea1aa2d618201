"""What the kernel says of a root partition, and what it says must be grown."""

from __future__ import annotations

from pathlib import Path

import pytest

from setup.steps import disk

GIB = (1 << 30) // 512  # sectors


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


def test_a_grown_disk_has_room_behind_its_root(tmp_path: Path) -> None:
    # As Ubuntu's images: the root first by number, behind the boot partitions on the disk.
    parts = [("nvme0n1p1", 1, 1, 99), ("nvme0n1p14", 14, 0.002, 0.004), ("nvme0n1p15", 15, 0.01, 0.1)]
    found = disk.located("nvme0n1p1", "ext4", blocks(tmp_path, 150, *parts))
    assert (found.disk, found.number, found.behind) == ("nvme0n1", 1, 50 << 30)


def test_space_of_another_partition_does_not_count(tmp_path: Path) -> None:
    parts = [("nvme0n1p1", 1, 1, 49), ("nvme0n1p2", 2, 50, 50)]
    assert disk.located("nvme0n1p1", "ext4", blocks(tmp_path, 150, *parts)).behind == 0


def test_a_file_system_on_a_whole_disk_has_no_partition_to_grow(tmp_path: Path) -> None:
    assert disk.located("nvme0n1", "xfs", blocks(tmp_path, 150)).disk == ""


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
def test_growing_is_needed_only_if_it_is_possible_and_worthwhile(
    behind: int, kind: str, root: list[str] | None, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "find", lambda: disk.Root("nvme0n1p1", kind, "nvme0n1", 1, behind))
    monkeypatch.setattr(disk, "as_root", lambda: root)
    monkeypatch.setattr(disk.shutil, "which", lambda name: f"/usr/bin/{name}")
    state = disk.check(None)
    assert state.status == status
    assert status != "needed" or "50 GiB" in state.line


def test_partition_and_file_system_are_grown_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    class Session:
        def run(self, command: list[str], **_: object) -> str:
            ran.append(command)
            return ""

    behind = iter([50 << 30, 0])
    monkeypatch.setattr(disk, "find", lambda: disk.Root("sda1", "ext4", "sda", 1, next(behind)))
    monkeypatch.setattr(disk, "as_root", lambda: ["sudo", "-n"])
    assert disk.apply(None, Session()).status == "done"
    assert ran == [["sudo", "-n", "growpart", "/dev/sda", "1"], ["sudo", "-n", "resize2fs", "/dev/sda1"]]


def test_a_process_machine_leaves_the_laptop_s_disk_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_BOX_SSHD_DIR", "/somewhere")
    assert disk.check(None).status == "done"
