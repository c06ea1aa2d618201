"""~/scratch on the local NVMe at each boot, with real loop devices and file systems.

Every `boot` has a mount namespace of its own, as a reboot leaves no mounts. A stop fills the devices with
zeros, as EC2 erases them.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scratch import scratch
from tests.paths import REMOTE

from .. import needs

_BYTES = 256 << 20
_EBS = "Amazon Elastic Block Store"
_BOOT = """
import json, subprocess, sys
from scratch import scratch
asked = json.loads(sys.argv[1])
for name in ("BLOCKS", "PLACE", "DLAMI", "RECORD"):
    setattr(scratch, name, asked[name])
subprocess.run(asked["before"], shell=True, check=True)
scratch.mount()
scratch.link(asked["home"])
subprocess.run(asked["after"], shell=True, check=True)
"""
pytestmark = [
    needs.root,
    needs.programs("losetup", "unshare", "blkid", "mkswap", "mkfs.ext4"),
]


@dataclass
class Machine:
    """home: of its user. devices: loop devices, which sysfs shows as the models that `show` gives them."""

    folder: Path
    devices: list[str]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def scratch(self) -> Path:
        return self.home / "scratch"

    @property
    def place(self) -> Path:
        return self.folder / "place"

    def show(self, *models: str) -> None:
        for device, model in zip(self.devices, models, strict=False):
            path = self.folder / "block" / Path(device).name / "device"
            path.mkdir(parents=True)
            (path / "model").write_text(f"{model:<40}\n")

    def boot(self, *, before: str = "true", after: str = "true") -> dict[str, Any]:
        """Returns what `mount` recorded. before, after: shell commands around it."""
        asked = {
            "BLOCKS": str(self.folder / "block"),
            "PLACE": str(self.place),
            "DLAMI": str(self.folder / "dlami"),
            "RECORD": str(self.folder / "run" / "scratch.json"),
            "home": str(self.home),
            "before": before,
            "after": after,
        }
        words = ["unshare", "-m", sys.executable, "-c", _BOOT, json.dumps(asked)]
        subprocess.run(words, check=True, env={**os.environ, "PYTHONPATH": str(REMOTE)})
        found: dict[str, Any] = json.loads((self.folder / "run" / "scratch.json").read_text())
        return found

    def stop(self) -> None:
        """EC2 erases the instance store."""
        for device in self.devices:
            file = self.folder / f"disk{self.devices.index(device)}"
            os.truncate(file, 0)
            os.truncate(file, _BYTES)
            subprocess.run(["blockdev", "--flushbufs", device], check=True)


@pytest.fixture
def nvme(tmp_path: Path) -> Iterator[Callable[[int], Machine]]:
    """`nvme(2)`: a machine with so many loop devices, blank, of which none is shown yet."""
    attached: list[str] = []
    folder = tmp_path / "machine"
    (folder / "home").mkdir(parents=True)

    def make(count: int) -> Machine:
        for number in range(count):
            file = folder / f"disk{number}"
            file.touch()
            os.truncate(file, _BYTES)
            done = subprocess.run(["losetup", "-f", "--show", str(file)], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no loop devices here: {done.stderr.strip()}")
            attached.append(done.stdout.strip())
        return Machine(folder, attached)

    yield make
    for device in attached:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=needs.programs("mkfs.btrfs"))])
def test_it_is_one_volume_that_survives_a_reboot_and_is_there_again_after_a_stop(
    nvme: Callable[[int], Machine], count: int
) -> None:
    machine = nvme(count)
    machine.show(*[scratch.MODEL] * count)
    size = f"stat -f -c '%S %b %f' {machine.scratch}/ > {machine.folder}/size"
    found = machine.boot(after=f"echo kept > {machine.scratch}/file; {size}")
    assert found == {"mount": str(machine.place), "why": "", "devices": count}
    assert os.readlink(machine.scratch) == str(machine.place)
    block, blocks, free = (int(word) for word in (machine.folder / "size").read_text().split())
    assert block * blocks > 0.85 * count * _BYTES
    assert block * (blocks - free) < 16 << 20, "an empty one must not count as something to lose"
    mode = f"stat -c %a {machine.scratch}/ > {machine.folder}/mode"
    found = machine.boot(after=f"grep kept {machine.scratch}/file; {mode}")
    assert found["mount"] == str(machine.place)
    assert (machine.folder / "mode").read_text() == "1777\n"
    machine.stop()
    found = machine.boot(after=f"test -w {machine.scratch}/ && test ! -e {machine.scratch}/file")
    assert found["mount"] == str(machine.place)


def _lvm_member() -> bytes:
    """The label of an LVM physical volume (lib/format_text/layout.h), as the Deep Learning AMI makes them."""
    rest = struct.pack("<I8s", 32, b"LVM2 001") + b"a" * 32
    checked = rest.ljust(512 - 20, b"\0")
    checksum = zlib.crc32(checked, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return b"LABELONE" + struct.pack("<QI", 1, checksum) + checked


@pytest.mark.parametrize(
    ("content", "signature"),
    [
        ("mkfs.ext4 -q {0}", 'TYPE="ext4"'),
        ("mkswap {0}", 'TYPE="swap"'),
        pytest.param(
            "echo 'label: gpt\n,100M' | sfdisk -q {0}", 'PTTYPE="gpt"', marks=needs.programs("sfdisk")
        ),
        pytest.param(
            "echo 'label: dos\n,100M' | sfdisk -q {0}", 'PTTYPE="dos"', marks=needs.programs("sfdisk")
        ),
        ("dd status=none bs=512 seek=1 conv=notrunc if={1}/lvm of={0}", 'TYPE="LVM2_member"'),
    ],
)
def test_a_device_that_holds_something_is_never_formatted(
    nvme: Callable[[int], Machine], content: str, signature: str
) -> None:
    machine = nvme(1)
    machine.show(scratch.MODEL)
    (machine.folder / "lvm").write_bytes(_lvm_member())
    subprocess.run(content.format(*machine.devices, machine.folder), shell=True, check=True)
    subprocess.run(["blockdev", "--flushbufs", *machine.devices], check=True)
    said = subprocess.run(["blkid", "-p", *machine.devices], capture_output=True, text=True, check=True)
    assert signature in said.stdout, "blkid must agree that this is what the test says"
    before = hashlib.sha256((machine.folder / "disk0").read_bytes()).digest()
    found = machine.boot()
    assert hashlib.sha256((machine.folder / "disk0").read_bytes()).digest() == before
    assert found["mount"] == "" and "is left alone" in found["why"]
    assert machine.scratch.is_dir() and not machine.scratch.is_symlink()


def test_a_blank_ebs_volume_is_not_touched(nvme: Callable[[int], Machine]) -> None:
    machine = nvme(1)
    machine.show(_EBS)
    assert machine.boot() == {"mount": "", "why": "", "devices": 0}
    assert not (machine.folder / "disk0").read_bytes().strip(b"\0")
    assert machine.scratch.is_dir() and not machine.scratch.is_symlink()


def test_a_device_that_is_mounted_elsewhere_is_left_alone(nvme: Callable[[int], Machine]) -> None:
    machine = nvme(1)
    machine.show(scratch.MODEL)
    data = machine.folder / "data"
    data.mkdir()
    mounted = f"mkfs.ext4 -q {machine.devices[0]} && mount {machine.devices[0]} {data}"
    found = machine.boot(before=f"{mounted} && echo mine > {data}/file", after=f"grep mine {data}/file")
    assert found["mount"] == "" and "in use" in found["why"]


def test_the_mount_of_the_deep_learning_ami_is_used_as_it_is(nvme: Callable[[int], Machine]) -> None:
    machine = nvme(1)
    machine.show(scratch.MODEL)
    dlami = machine.folder / "dlami"
    dlami.mkdir()
    mounted = f"mkfs.ext4 -q {machine.devices[0]} && mount {machine.devices[0]} {dlami}"
    found = machine.boot(before=mounted, after=f"touch {machine.scratch}/file && test -e {dlami}/file")
    assert found["mount"] == str(dlami)
    assert os.readlink(machine.scratch) == str(dlami)


def test_an_ebs_volume_at_that_place_is_not_taken_for_nvme(nvme: Callable[[int], Machine]) -> None:
    machine = nvme(2)
    machine.show(_EBS, scratch.MODEL)
    dlami = machine.folder / "dlami"
    dlami.mkdir()
    found = machine.boot(before=f"mkfs.ext4 -q {machine.devices[0]} && mount {machine.devices[0]} {dlami}")
    assert found["mount"] == str(machine.place)
