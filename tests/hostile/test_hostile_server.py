"""Another machine at the box's address, which even has our public key: it gets nothing, by any way in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import MachineError
from gpu_box.machine import jobs
from gpu_box.machine.files import sync
from gpu_box.machine.ssh import attach, keys
from gpu_box.machine.ssh.connection import connect, wait_for_ssh
from gpu_box.machine.ssh.tunnel import Tunnel
from gpu_box.model.machine import Forward, Host

from ..machine.conftest import Recorder, host_of


def by_ssh(host: Host, project: Path) -> None:
    done = subprocess.run(attach.ssh_command(host, ["id"], tty=False), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (255, "")
    raise MachineError(done.stderr.strip())


def by_tunnel(host: Host, project: Path) -> None:
    with Tunnel(host, [Forward(local=0, remote=8888)], report=Recorder()):
        raise AssertionError("a tunnel to a stranger")


WAYS: dict[str, Callable[[Host, Path], object]] = {
    "connect": lambda host, project: connect(host),
    "up": lambda host, project: wait_for_ssh(host, timeout_s=5, report=Recorder()),
    "ssh": by_ssh,
    "tunnel": by_tunnel,
    "logs": lambda host, project: jobs.follow(host, "train", lambda line: None),
    "sync --watch": lambda host, project: sync.watch(
        host, project, "~/work", exclude=(), report=Recorder(), delete=False
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stranger_at_the_box_s_address_gets_nothing(
    way: str, machine: OpenSshMachine, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("secret")
    box = host_of(machine, keys.first_host_key(machine.user_key, "the", "box").public_line)
    with pytest.raises(MachineError, match="(?i)host key"):
        WAYS[way](box, project)
    # Neither was our key offered to it, nor anything written.
    log = (machine.folder / "sshd.log").read_text()
    assert "Accepted" not in log
    assert "authenticating user" not in log
    assert list(machine.home.iterdir()) == []
