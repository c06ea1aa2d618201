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

from .conftest import copy_of_remote, set_up

WEBHOOK = "https://hooks.slack.com/services/T0/B0/SECRET"
ASKED = Config(name="ada", notify=Notify(webhook=WEBHOOK))


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """remote/ with the two steps that install nothing."""
    return copy_of_remote(tmp_path, "notify")


def test_the_webhook_arrives_is_private_and_is_removed(machine: OpenSshMachine, remote: Path) -> None:
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

    reported = replace(ASKED, notify=replace(ASKED.notify, format="json"))
    set_up(machine, remote, reported, commands)
    assert json.loads(there.read_text())["format"] == "json"

    set_up(machine, remote, Config(name="ada"), commands)
    assert not there.exists()
    for log in (machine.home / ".gpu-box").rglob("*"):
        assert not log.is_file() or b"SECRET" not in log.read_bytes()


def test_the_webhook_is_in_no_repr() -> None:
    assert "SECRET" not in repr(ASKED) and "SECRET" not in repr(setup.desired(ASKED, market="on-demand"))
