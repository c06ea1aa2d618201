"""Real SSH servers for the tests of `machine/`: the system's sshd, and the embedded cloud's own."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.config.model import Config, Ssh
from gpu_box.machine import setup
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.model.machine import Host, MachineState
from tests.paths import REMOTE

# sshd starts the user's login shell: bash on a box. sh reads none of the start files.
needs_bash = pytest.mark.skipif(
    not pwd.getpwuid(os.geteuid()).pw_shell.endswith(("bash", "zsh")),
    reason="the login shell is not bash",
)


class Recorder:
    """A Reporter that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def start(self, step: str, line: str = "") -> None:
        self.events.append(("start", step, line))

    def update(self, step: str, line: str) -> None:
        self.events.append(("update", step, line))

    def done(self, step: str, line: str = "") -> None:
        self.events.append(("done", step, line))

    def failed(self, step: str, line: str = "") -> None:
        self.events.append(("failed", step, line))

    def note(self, line: str) -> None:
        self.events.append(("note", "", line))

    def of(self, kind: str) -> list[str]:
        return [step for event, step, _ in self.events if event == kind]


def copy_of_remote(folder: Path, step: str) -> Path:
    """remote/ with two set-up steps that install nothing: the code, and this one."""
    copy = folder / "remote"
    shutil.copytree(REMOTE, copy, ignore=shutil.ignore_patterns("__pycache__", "vgg16", "notebooks"))
    (copy / "setup" / "steps" / "__init__.py").write_text(
        f"from setup.steps import code, {step}\nALL = (code.STEP, {step}.STEP)\nPROJECT = ()\n"
    )
    check = copy / "setup" / "check.py"
    jupyter = 'next(each for each in found if each["name"] == "jupyter")'
    check.write_text(check.read_text().replace(jupyter, "found[0]"))
    upload_remote.fingerprint.cache_clear()
    return copy


def set_up(machine: OpenSshMachine, remote: Path, config: Config, commands: list[str]) -> MachineState:
    """Set up with the copy of remote/. commands: gets every command line that the machine was sent."""
    config = replace(config, ssh=Ssh(key=machine.user_key))
    desired = replace(setup.desired(config, market="on-demand"), remote=remote)
    with connect(host_of(machine)) as connection:
        run = connection.run
        connection.run = lambda *a, **k: commands.append(a[0]) or run(*a, **k)  # type: ignore[method-assign]
        state = setup.check(connection, desired)
        return setup.apply(connection, state, desired, Recorder()) if state.needs_work else state


@pytest.fixture
def report() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The laptop's home folder: never the developer's own."""
    laptop = tmp_path / "laptop"
    laptop.mkdir()
    monkeypatch.setenv("HOME", str(laptop))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return laptop


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[OpenSshMachine]:
    yield from _running(OpenSshMachine(tmp_path / "machine"))


@pytest.fixture(scope="module")
def shared_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSshMachine]:
    """One for a whole file of tests that do not disturb one another."""
    yield from _running(OpenSshMachine(tmp_path_factory.mktemp("shared") / "machine"))


@pytest.fixture
def make_machine(tmp_path: Path) -> Iterator[Callable[..., OpenSshMachine]]:
    made: list[OpenSshMachine] = []

    def make(**options: object) -> OpenSshMachine:
        made.append(OpenSshMachine(tmp_path / f"machine{len(made)}", **options))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield make
    for machine in made:
        machine.stop()


def host_of(machine: OpenSshMachine, *host_keys: str) -> Host:
    return Host(
        name="box",
        address="127.0.0.1",
        port=machine.port,
        user=machine.user,
        key=machine.user_key,
        host_keys=host_keys or (machine.public_line,),
    )


@pytest.fixture
def connection(machine: OpenSshMachine) -> Iterator[Connection]:
    with connect(host_of(machine)) as connection:
        yield connection


@pytest.fixture
def shared_connection(shared_machine: OpenSshMachine) -> Iterator[Connection]:
    with connect(host_of(shared_machine)) as connection:
        yield connection


def _running(machine: OpenSshMachine) -> Iterator[OpenSshMachine]:
    machine.start()
    yield machine
    machine.stop()
