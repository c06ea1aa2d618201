"""The webhook reaches the box when the config names one, for its user's eyes alone, and leaves it again."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.config.model import Config, Notify
from gpu_box.machine import setup
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import MachineState

from .conftest import Recorder, copy_of_remote, host_of

WEBHOOK = "https://hooks.slack.com/services/T0/B0/SECRET"
ASKED = Config(name="ada", notify=Notify(webhook=WEBHOOK))


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """remote/ with the two steps that install nothing."""
    return copy_of_remote(tmp_path, "notify")


def set_up(machine: OpenSshMachine, remote: Path, config: Config, commands: list[str]) -> MachineState:
    desired = replace(setup.desired(config, market="on-demand"), remote=remote)
    with connect(host_of(machine)) as connection:
        run = connection.run
        connection.run = lambda *a, **k: commands.append(a[0]) or run(*a, **k)  # type: ignore[method-assign]
        state = setup.check(connection, desired)
        return setup.apply(connection, state, desired, Recorder()) if state.needs_work else state


def test_it_comes_goes_and_is_nobody_else_s(machine: OpenSshMachine, remote: Path) -> None:
    commands: list[str] = []
    there = machine.home / ".gpu-box" / "notify.json"
    state = set_up(machine, remote, ASKED, commands)
    assert not state.needs_work
    assert json.loads(there.read_text()) == {"box": "ada", "webhook": WEBHOOK}
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    assert not any("SECRET" in command for command in commands)

    there.chmod(0o644)
    set_up(machine, remote, ASKED, commands)
    assert stat.S_IMODE(there.stat().st_mode) == 0o600

    told = replace(ASKED, notify=replace(ASKED.notify, format="json"))
    set_up(machine, remote, told, commands)
    assert json.loads(there.read_text())["format"] == "json"

    set_up(machine, remote, Config(name="ada"), commands)
    assert not there.exists()
    for log in (machine.home / ".gpu-box").rglob("*"):
        assert not log.is_file() or b"SECRET" not in log.read_bytes()


def test_the_webhook_is_in_no_repr() -> None:
    assert "SECRET" not in repr(ASKED) and "SECRET" not in repr(setup.desired(ASKED, market="on-demand"))
