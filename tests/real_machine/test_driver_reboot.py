"""A real system whose NVIDIA module is for the next kernel is rebooted once, by its own systemd."""

from __future__ import annotations

import pytest
from testbed.box import start_box
from testbed.cloud import Cloud, KeyFile

from gpu_box.machine import reboot
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import wait_for_ssh
from gpu_box.model.machine import Host
from tests.machine.conftest import Recorder
from tests.paths import REMOTE

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]

# A T4 without a driver for the kernel that runs, as sysfs, /boot and /lib/modules show it.
_CARD = """
set -eu
root=$HOME/root; slot=$root/sys/bus/pci/devices/0000:00:1e.0
mkdir -p $slot $root/boot $root/lib/modules/99.0.0-1-aws
echo 0x10de > $slot/vendor; echo 0x030200 > $slot/class
touch $root/boot/vmlinuz-99.0.0-1-aws $root/lib/modules/99.0.0-1-aws/nvidia.ko
sed -i "s|^ROOT = .*|ROOT = '$root/'|" ~/.gpu-box/remote/setup/card.py
"""
_ASK = "cd ~/.gpu-box/remote && python3 -c 'from setup import reboot; print(reboot.wanted())'"


def test_a_reboot_is_made_once_and_waited_for(cloud: Cloud, key: KeyFile) -> None:
    box = start_box(cloud, key)
    ssh = box.ssh()
    host = Host(
        name="box",
        address=ssh.address,
        port=ssh.port,
        user=ssh.user,
        key=key.path,
        host_keys=(" ".join(box.host_key.split()[:2]),),
    )
    report = Recorder()
    with wait_for_ssh(host, timeout_s=60, report=report) as connection:
        upload_remote.upload(connection, REMOTE)
        connection.run(_CARD)
        why = connection.run(_ASK).stdout.strip()
        assert "module is for kernel 99.0.0-1-aws" in why
        again = reboot.reboot(connection, why, report)
        assert again is not None
        with again:
            assert again.run(_ASK).stdout.strip() == ""
            assert reboot.reboot(again, why, report) is None
    assert report.of("done") == ["reboot", "reboot"]
