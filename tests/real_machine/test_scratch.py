"""~/scratch on a booted machine: local NVMe, blank at each start, is formatted and mounted."""

from __future__ import annotations

import io
import subprocess
import tarfile
import uuid
from collections.abc import Iterator

import pytest
from testbed.box import Box, start_box
from testbed.cloud import Cloud, KeyFile
from testbed.ssh import Ssh

from scratch import scratch
from tests.paths import REMOTE

from .. import needs

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600), needs.programs("losetup")]

# A loop device takes the place of the NVMe: sysfs shows its model, and it is blank at each boot.
_FAKE = """\
set -eu
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for number in 0 1 2 3 4 5 6 7 8 9; do
    [ -e /dev/loop$number ] || mknod /dev/loop$number b 7 $number
done
rm -f {file}
truncate -s 300M {file}
device=$(losetup -f --show {file})
mkdir -p /run/fake-nvme/${{device#/dev/}}/device
echo "{model}" >/run/fake-nvme/${{device#/dev/}}/device/model
mount --bind /run/fake-nvme /sys/block
"""
_UNIT = """\
[Unit]
Before=gpu-box-scratch.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /usr/local/sbin/fake-nvme
[Install]
WantedBy=multi-user.target
"""
_STEP = """\
cd ~/.gpu-box/remote && python3 -c '
from setup.desired import Desired
from setup.session import Session
from setup.steps.scratch import STEP
state = STEP.check(Desired())
if state.status == "needed":
    state = STEP.apply(Desired(), Session("scratch"))
print(state.status, state.line)'"""


@pytest.fixture
def file() -> Iterator[str]:
    """The file behind the loop device on the machine. The device outlives a killed machine."""
    name = f"/var/fake-nvme-{uuid.uuid4().hex}"
    yield name
    listed = subprocess.run(["losetup", "-nl", "-O", "NAME,BACK-FILE"], capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        device, _, backed_by = line.partition(" ")
        if name in backed_by:
            subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture
def box(cloud: Cloud, key: KeyFile, file: str) -> Iterator[Box]:
    yield start_box(cloud, key)
    cloud.empty()


def _bring_remote(ssh: Ssh) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(REMOTE, "remote", filter=lambda one: None if "__pycache__" in one.name else one)
    done = ssh.run("mkdir -p ~/.gpu-box && tar -xC ~/.gpu-box", sent=packed.getvalue())
    assert done.returncode == 0


def test_local_nvme_is_mounted_after_set_up_and_blank_after_a_stop(box: Box, file: str) -> None:
    ssh = box.ssh()
    _bring_remote(ssh)
    fake = _FAKE.format(file=file, model=scratch.MODEL)
    ssh.run("sudo tee /usr/local/sbin/fake-nvme >/dev/null", sent=fake.encode())
    ssh.run("sudo tee /etc/systemd/system/fake-nvme.service >/dev/null", sent=_UNIT.encode())
    if ssh.run("sudo systemctl enable --now fake-nvme").returncode:
        pytest.skip("this machine may not make loop devices")
    said = ssh.says(_STEP).splitlines()[-1]
    assert said.startswith("done ~/scratch is ") and "local NVMe, erased at every stop" in said
    assert ssh.says("readlink ~/scratch; findmnt -no FSTYPE -T ~/scratch/").split() == [scratch.PLACE, "ext4"]
    assert ssh.says("echo kept >~/scratch/file && cat ~/scratch/file") == "kept"
    ssh = box.restart()
    ssh.run("systemctl is-system-running --wait")
    assert ssh.says("findmnt -no FSTYPE -T ~/scratch/; ls ~/scratch").split() == ["ext4", "lost+found", "tmp"]
    assert ssh.says("echo anew >~/scratch/tmp/file && cat ~/scratch/tmp/file") == "anew"
