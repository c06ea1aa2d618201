"""The guard stops a machine whose watcher's heartbeat stops, without the watcher's code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests import needs

import watch

SCRIPT = Path(watch.__file__).parent / "guard.sh"


class Machine:
    def __init__(self, root: Path) -> None:
        self.run = root / "run"
        self.stopped = root / "stopped.json"
        self.guard = root / "guard"
        self.run.mkdir()
        shutil.copy(SCRIPT, self.guard)  # a copy, as `install` makes it
        self.stopped.write_text(" " * 4095 + "\n")

    def beat(self, what: str) -> None:
        (self.run / "heartbeat").write_text(what + "\n")

    def look(self, looks: int = 3) -> bool:
        """Run the guard once. Returns whether it powered off."""
        off = self.run.parent / "off"
        environment = {
            "GPU_BOX_RUN": str(self.run),
            "GPU_BOX_STOPPED": str(self.stopped),
            "GPU_BOX_POWEROFF": f"touch {off}",
            "PATH": os.environ["PATH"],
        }
        subprocess.run(
            ["sh", self.guard, str(looks)], env=environment, check=True, timeout=60, capture_output=True
        )
        return off.exists()


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def test_a_beating_heartbeat_stops_nothing(machine):
    for number in range(10):
        machine.beat(str(number))
        assert not machine.look()
        assert not machine.look()


def test_an_unchanged_heartbeat_stops_the_machine(machine):
    machine.beat("1")
    assert [machine.look() for _ in range(4)] == [False, False, False, True]
    reason = json.loads(machine.stopped.read_text())
    assert (
        reason["layer"] == "guard" and "heartbeat did not change" in reason["reason"] and reason["wall"] > 1e9
    )


def test_it_records_the_watcher_s_last_figures(machine):
    (machine.run / "figures.json").write_text(json.dumps({"gpu": '98 % "T4"', "cpu": "none"}))
    machine.beat("1")
    while not machine.look():
        pass
    assert json.loads(machine.stopped.read_text())["signals"] == {"gpu": '98 % "T4"', "cpu": "none"}


def test_a_watcher_that_never_started_stops_the_machine(machine):
    assert [machine.look() for _ in range(4)] == [False, False, False, True]


def test_a_deleted_heartbeat_counts_as_unchanged(machine):
    machine.beat("1")
    machine.look()
    (machine.run / "heartbeat").unlink()
    assert [machine.look() for _ in range(4)] == [False, False, False, True]


def test_a_new_heartbeat_resets_the_count(machine):
    machine.beat("1")
    for _ in range(3):
        machine.look()
    machine.beat("2")
    assert [machine.look() for _ in range(3)] == [False, False, False]


def test_a_suspend_or_a_clock_change_does_not_count_as_silence(machine):
    """It counts checks, however long the time between them."""
    machine.beat("1")
    machine.look()
    os.utime(machine.run / "heartbeat", (0, 0))
    assert not machine.look()


def test_a_corrupt_count_is_reset_and_stops_nothing(machine):
    machine.beat("1")
    (machine.run / "guard").write_text("1\nmany\n")
    assert not machine.look()
    (machine.run / "guard").write_text("")
    assert not machine.look()


def test_the_reason_is_written_in_place(machine):
    """A full disk has no free block."""
    before = machine.stopped.stat()
    for _ in range(4):
        machine.look()
    after = machine.stopped.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


@needs.root
@needs.programs("mount")
def test_a_full_disk_prevents_neither_the_stop_nor_its_record(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        machine = Machine(tmp_path)
        machine.stopped = disk / "stopped.json"
        machine.stopped.write_text(" " * 4095 + "\n")
        with pytest.raises(OSError), open(disk / "filler", "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        assert [machine.look() for _ in range(4)][-1]
        assert json.loads(machine.stopped.read_text())["layer"] == "guard"
    finally:
        subprocess.run(["umount", disk], check=True)


@needs.programs("shellcheck")
def test_shellcheck_passes():
    subprocess.run(["shellcheck", SCRIPT], check=True, timeout=60)
