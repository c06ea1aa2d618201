"""A machine that set-up wants rebooted: it goes, comes back as another boot, and is waited for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import MachineError
from gpu_box.machine import reboot
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import connect
from tests.paths import REMOTE

from .conftest import Recorder, host_of
from .test_setup import only


@pytest.fixture
def rebooting(tmp_path: Path, make_machine) -> OpenSshMachine:  # type: ignore[no-untyped-def]
    """Its `cat` reads a boot's identity that the test writes; its `python3` notes that a reboot is wanted."""
    programs = only(tmp_path / "bin", "sh", "bash", "touch")
    machine = make_machine(path=str(programs))
    (machine.home / ".gpu-box/remote").mkdir(parents=True)
    (tmp_path / "boot").write_text("first\n")
    for name, text in {
        "cat": f"read line < {tmp_path}/boot; echo $line",
        "python3": f"touch {tmp_path}/asked",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return machine  # type: ignore[no-any-return]


def goes_down_and_comes_back(machine: OpenSshMachine, folder: Path) -> None:
    """It still lets in for a moment, as a machine that shuts down may, then refuses, then is another boot."""
    while not (folder / "asked").exists():
        time.sleep(0.02)
    time.sleep(0.3)
    machine.stop()
    (folder / "boot").write_text("second\n")
    time.sleep(1)
    machine.start()


def test_the_machine_is_back_when_it_is_another_boot(
    rebooting: OpenSshMachine, tmp_path: Path, report: Recorder
) -> None:
    thread = threading.Thread(target=goes_down_and_comes_back, args=(rebooting, tmp_path))
    thread.start()
    with connect(host_of(rebooting)) as old:
        again = reboot.reboot(old, "the driver is for kernel 7", report)
        assert again is not None
        with again:
            assert again.run("cat").stdout == "second\n"
        assert not old.alive
    thread.join()
    assert ("start", "reboot", "the driver is for kernel 7") in report.events
    assert ("done", "reboot", "rebooted: the driver is for kernel 7") in report.events


def test_a_machine_that_does_not_come_back_is_one_clear_error(
    rebooting: OpenSshMachine, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl reboot` was asked for, and nothing happens: the same boot is no success."""
    monkeypatch.setattr(reboot, "_BACK_WITHIN_S", 0.5)
    monkeypatch.setattr(reboot, "_CHECK_AGAIN_S", 0.1)
    with (
        connect(host_of(rebooting)) as old,
        pytest.raises(MachineError, match="was rebooted and does not answer"),
    ):
        reboot.reboot(old, "why", report)


def test_a_machine_that_shares_its_host_refuses_and_is_not_rebooted(
    machine: OpenSshMachine, report: Recorder
) -> None:
    """The real remote/setup: this machine is a process of the computer that runs the test."""
    with connect(host_of(machine)) as connection:
        upload_remote.upload(connection, REMOTE)
        assert reboot.reboot(connection, "why", report) is None
        assert connection.alive
    (line,) = (line for event, step, line in report.events if (event, step) == ("done", "reboot"))
    assert line.startswith("no reboot is needed, or sudo is not allowed")
