"""Kaggle's credentials reach the box when the config says so, for its user's eyes alone; else never."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.aws.client import Cloud
from gpu_box.box import up
from gpu_box.config.model import Config, Sync
from gpu_box.errors import InputError
from gpu_box.machine import setup
from gpu_box.machine.files import kaggle
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import MachineState

from ... import needs
from ..conftest import Recorder, copy_of_remote, host_of

SECRET = "0123456789abcdef"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """remote/ with the two steps that install nothing."""
    return copy_of_remote(tmp_path, "kaggle")


def put_on_laptop(home: Path, key: str = SECRET) -> bytes:
    content = json.dumps({"username": "ada", "key": key}).encode()
    (home / ".kaggle").mkdir(exist_ok=True)
    (home / ".kaggle" / "kaggle.json").write_bytes(content)
    return content


def set_up(
    machine: OpenSshMachine, remote: Path, config: Config, commands: list[str] | None = None
) -> MachineState:
    desired: Desired = replace(setup.desired(config, market="on-demand"), remote=remote)
    with connect(host_of(machine)) as connection:
        run = connection.run
        if commands is not None:
            connection.run = lambda *a, **k: commands.append(a[0]) or run(*a, **k)  # type: ignore[method-assign]
        state = setup.check(connection, desired)
        return setup.apply(connection, state, desired, Recorder()) if state.needs_work else state


def test_credentials_that_may_not_be_read_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = needs.closed_folder(tmp_path)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder))
    with pytest.raises(InputError, match="Kaggle credentials cannot be read") as raised:
        kaggle.require_credentials(Config(kaggle=True))
    assert str(folder) in raised.value.where


def test_requested_credentials_are_on_the_box_and_private(
    machine: OpenSshMachine, remote: Path, home: Path
) -> None:
    content = put_on_laptop(home)
    commands: list[str] = []
    state = set_up(machine, remote, Config(kaggle=True), commands)
    there = machine.home / ".kaggle" / "kaggle.json"
    assert there.read_bytes() == content
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    assert stat.S_IMODE(there.parent.stat().st_mode) == 0o700
    assert [path.name for path in there.parent.iterdir()] == ["kaggle.json"]
    assert not state.needs_work
    # Neither a command, which anybody on the box can list, nor a log has the secret.
    assert not any(SECRET in command for command in commands)
    for log in (machine.home / ".gpu-box").rglob("*"):
        assert not log.is_file() or SECRET.encode() not in log.read_bytes()


def test_credentials_stay_on_the_laptop_unless_requested(
    machine: OpenSshMachine, remote: Path, home: Path
) -> None:
    put_on_laptop(home)
    assert not set_up(machine, remote, Config()).needs_work
    assert not (machine.home / ".kaggle").exists()


def test_the_second_time_nothing_is_sent_and_new_ones_are(
    machine: OpenSshMachine, remote: Path, home: Path
) -> None:
    put_on_laptop(home)
    set_up(machine, remote, Config(kaggle=True))
    commands: list[str] = []
    set_up(machine, remote, Config(kaggle=True), commands)
    assert len(commands) == 1  # the look
    renewed = put_on_laptop(home, key="f" * 16)
    assert not set_up(machine, remote, Config(kaggle=True)).needs_work
    assert (machine.home / ".kaggle" / "kaggle.json").read_bytes() == renewed


def test_a_file_that_others_can_read_is_closed_to_them(
    machine: OpenSshMachine, remote: Path, home: Path
) -> None:
    there = machine.home / ".kaggle" / "kaggle.json"
    there.parent.mkdir()
    there.write_text("put there by hand")
    there.chmod(0o644)
    set_up(machine, remote, Config())
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    assert there.read_text() == "put there by hand"


def test_asked_for_where_the_laptop_has_none_is_refused_before_anything_is_made(home: Path) -> None:
    with pytest.raises(InputError) as refused:
        up.up(Cloud(Config(kaggle=True, sync=Sync(source=home))), Recorder())
    assert "there are no Kaggle credentials on this machine" in str(refused.value)
    assert "kaggle: false" in str(refused.value)


def test_a_token_and_a_folder_of_one_s_own_are_found_as_kaggle_finds_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "access_token").write_text("KGAT_1")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "mine"))
    assert [name for name, _ in kaggle.digests(Config(kaggle=True))] == ["access_token"]


def test_kaggle_s_package_comes_along_once() -> None:
    assert setup.desired(Config(kaggle=True), market="on-demand").packages == ("kaggle",)
    assert setup.desired(Config(kaggle=True, packages=("kaggle>=2",)), market="on-demand").packages == (
        "kaggle>=2",
    )
    assert setup.desired(Config(kaggle=True, packages=("kaggle-x",)), market="on-demand").packages == (
        "kaggle-x",
        "kaggle",
    )
    assert setup.desired(Config(), market="on-demand").packages == ()
