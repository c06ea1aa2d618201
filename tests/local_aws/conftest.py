"""A real daemon on loopback, called with boto3: the worker's, emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.cloud import Cloud, KeyFile, make_key
from testbed.ssh import Ssh

from local_aws.machines.process.process import ProcessMachine

from .process_box import ADDRESS, ID, boot


@pytest.fixture(scope="module")
def shared_cloud(empty_cloud: Path) -> Cloud:
    return Cloud(empty_cloud)


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    shared_cloud.empty()
    return shared_cloud


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path)


@pytest.fixture(scope="session")
def process_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(scope="session")
def machine_key(process_folder: Path) -> KeyFile:
    return make_key(process_folder)


@pytest.fixture(scope="session")
def machine(process_folder: Path, machine_key: KeyFile) -> Iterator[tuple[ProcessMachine, Ssh]]:
    machine = ProcessMachine(ID, process_folder / ID)
    port = machine.start(boot(machine_key))
    ssh = Ssh(ADDRESS, port, machine_key, process_folder / "known")
    ssh.pin((process_folder / ID / "home/.sshd/ssh_host_ed25519_key.pub").read_text())
    yield machine, ssh
    machine.destroy()
    assert not (process_folder / ID).exists()


@pytest.fixture
def ssh(machine: tuple[ProcessMachine, Ssh]) -> Ssh:
    return machine[1]


@pytest.fixture
def machine_home(process_folder: Path, machine: object) -> Path:
    return process_folder / ID / "home"
