"""`ssh.forward_agent`, with a real agent, sshd and ssh: offered to sessions there, never used to log in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.machine.ssh import attach, ssh_config
from gpu_box.model.machine import Host

from ..conftest import host_of

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="needs ssh-agent")
ASK = "ssh-add -l 2>&1 || true"


@pytest.fixture
def host(shared_machine: OpenSshMachine) -> Host:
    return host_of(shared_machine)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent with one key, named `of-the-laptop`."""
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"SSH_AUTH_SOCK=([^;]+);.*SSH_AGENT_PID=(\d+);", said, re.DOTALL)
    assert found
    monkeypatch.setenv("SSH_AUTH_SOCK", found[1])
    key = tmp_path / "agent-key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of-the-laptop", "-f", key], check=True
    )
    subprocess.run(["ssh-add", "-q", key], check=True)
    yield
    os.kill(int(found[2]), 15)


@pytest.mark.parametrize("forward", [True, False])
def test_a_shell_on_the_box_uses_the_agent_only_if_the_config_says_so(
    host: Host, agent: None, forward: bool
) -> None:
    command = attach.ssh_command(host, [ASK], tty=False, forward_agent=forward)
    said = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    assert ("of-the-laptop" in said) == forward, said


@pytest.mark.parametrize("forward", [True, False])
def test_plain_ssh_by_the_box_s_name_does_the_same(
    host: Host, agent: None, home: Path, forward: bool
) -> None:
    ssh_config.write(host, forward_agent=forward)
    config = home / ".ssh" / "config"
    said = subprocess.run(
        ["ssh", "-F", config, "-o", "ControlPath=none", "box", ASK],
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    assert ("of-the-laptop" in said) == forward, said


def test_a_command_that_a_script_runs_there_and_sync_get_no_agent(
    host: Host, agent: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert attach.run(host, [ASK]) == 0
    assert "of-the-laptop" not in capfd.readouterr().out
    assert "ForwardAgent" not in ssh_config.private_config(host).read_text()
