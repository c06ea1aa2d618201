"""A check sent ahead of AWS's answer, by the system's ssh, to a real sshd."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.cloud import wait_until
from testbed.openssh import OpenSshMachine

from gpu_box.errors import InputError
from gpu_box.machine import setup, state
from gpu_box.machine.files import listing
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh import ssh_config, system_ssh
from gpu_box.machine.ssh.command import MOST_BYTES, AfterMark
from gpu_box.machine.ssh.connection import connect
from gpu_box.machine.ssh.early_check import EarlyCheck
from gpu_box.machine.ssh.system_ssh import SystemSsh
from gpu_box.model.machine import Host
from gpu_box.model.policy import WatchPolicy
from tests.paths import REMOTE

from ..conftest import host_of

ASKED = Desired(remote=REMOTE, policy=WatchPolicy(idle_after=7200))


def test_it_brings_what_a_check_brings(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    ssh_config.private_config(host)
    with connect(host) as connection:
        expected = setup.check(connection, ASKED)
    with EarlyCheck(host.name, ASKED) as one:
        found = one.answer(host, ASKED)
    assert found == expected


def test_a_box_never_reached_from_here_is_asked_nothing(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    with EarlyCheck(host.name, ASKED) as one:
        assert one._ssh is None
        assert one.answer(host, ASKED) is None


def test_the_address_of_a_stopped_box_is_not_asked(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    ssh_config.private_config(host)
    ssh_config.forget_address(host.name)
    with EarlyCheck(host.name, ASKED) as one:
        assert one._ssh is None
    assert ssh_config.known() == [host.name]


def test_what_comes_from_elsewhere_does_not_count(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    ssh_config.private_config(host)
    for now in (
        replace(host, address="127.0.0.2"),
        replace(host, port=host.port + 1),
        replace(host, user="else"),
        replace(host, host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA",)),
    ):
        with EarlyCheck(host.name, ASKED) as one:
            assert one._ssh
            assert one.answer(now, ASKED) is None


def test_an_answer_to_another_question_does_not_count(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    ssh_config.private_config(host)
    with EarlyCheck(host.name, ASKED) as one:
        assert one.answer(host, replace(ASKED, policy=WatchPolicy(idle_after=60))) is None


def test_a_machine_with_another_host_key_is_not_shown_the_key(
    machine: OpenSshMachine, shared_machine: OpenSshMachine
) -> None:
    host = host_of(machine, shared_machine.public_line)
    ssh_config.private_config(host)
    with EarlyCheck(host.name, ASKED) as one:
        assert one.answer(host, ASKED) is None
    log = machine.folder / "sshd.log"
    wait_until(lambda: "[preauth]" in log.read_text(), seconds=60)  # it was there, and left before the log-in
    assert "Accepted" not in log.read_text() and "Failed" not in log.read_text()


def test_a_silent_machine_is_given_up_and_nothing_is_left(
    shared_machine: OpenSshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_ssh, "_CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = replace(host_of(shared_machine), port=silent.getsockname()[1])
        ssh_config.private_config(host)
        with EarlyCheck(host.name, ASKED) as one:
            assert one.answer(host, ASKED) is None
        monkeypatch.setattr(system_ssh, "_CONNECT_S", 200)
        began = time.monotonic()
        with EarlyCheck(host.name, ASKED) as one:
            assert one._ssh
            process = one._ssh._process
            assert process and process.poll() is None
        assert time.monotonic() - began < 100
        assert process.poll() is not None


def test_without_an_ssh_program_nothing_is_sent(
    shared_machine: OpenSshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = host_of(shared_machine)
    ssh_config.private_config(host)
    monkeypatch.setenv("PATH", "/nonexistent")
    with EarlyCheck(host.name, ASKED) as one:
        assert one.answer(host, ASKED) is None


@pytest.mark.parametrize("command", ["yes", "yes >&2"])
def test_a_machine_that_sends_without_end_does_not_fill_the_memory(command: str) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", f"exec {command}"], stdout=pipe, stderr=pipe) as process:
        out, err = system_ssh._output(process, AfterMark(), timeout_s=20)
    assert process.returncode == -9
    assert MOST_BYTES < len(out + err) <= MOST_BYTES + 65536


def test_what_a_command_is_sent_arrives_whole(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    sent = b"x" * 3_000_000 + b"end"
    with SystemSsh(ssh_config.private_config(host), host.name, "sha256sum; echo aside >&2") as ssh:
        ssh.send(sent)
        digest = hashlib.sha256(sent).hexdigest().encode()
        assert ssh.output(60) == (digest + b"  -\n", b"aside\n")


def test_a_command_that_reads_nothing_ends_all_the_same(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    config = ssh_config.private_config(host)
    with SystemSsh(config, host.name, "echo done") as ssh:
        ssh.send(b"x" * 3_000_000)
        assert ssh.output(60) == (b"done\n", b"")
    with SystemSsh(config, host.name, "echo done; exit 3") as ssh:
        ssh.send(b"")
        assert ssh.output(60) is None


def test_commands_share_a_connection_and_nothing_waits_for_it(shared_machine: OpenSshMachine) -> None:
    host = host_of(shared_machine)
    config = ssh_config.private_config(host)
    log = shared_machine.folder / "sshd.log"
    logins = []
    for _ in range(3):
        with SystemSsh(config, host.name, "cat") as ssh:
            ssh.send(b"asked")
            assert ssh.output(60) == (b"asked", b"")
        logins.append(log.read_text().count("Accepted"))
    assert logins[0] == logins[2] > 0


def test_a_shared_connection_that_is_dead_is_not_waited_for(
    shared_machine: OpenSshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the laptop slept: its ssh waits for a machine that is gone from there."""
    host = host_of(shared_machine)
    config = ssh_config.private_config(host)
    with EarlyCheck(host.name, ASKED) as one:
        assert one.answer(host, ASKED)
    with stopped_master(config):
        monkeypatch.setattr(system_ssh, "_BEGIN_S", 1)
        with EarlyCheck(host.name, ASKED) as one:
            assert one.answer(host, ASKED) is None
    with EarlyCheck(host.name, ASKED) as one:
        assert one.answer(host, ASKED)


@contextmanager
def stopped_master(config: Path) -> Iterator[None]:
    """The process that keeps the connection does nothing within the block."""
    command = ["ssh", "-F", config, "-o", f"ControlPath={ssh_config.own_socket('box')}", "-O", "check", "box"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    pid = int(said.partition("pid=")[2].partition(")")[0])
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


def test_a_kept_connection_is_not_taken_for_another_box_at_its_address(
    machine: OpenSshMachine, shared_machine: OpenSshMachine
) -> None:
    """ssh does not look at host keys when it takes a connection that is open."""
    host = host_of(shared_machine)
    with SystemSsh(ssh_config.private_config(host), host.name, "echo box") as ssh:
        assert ssh.output(60) == (b"box\n", b"")
    for other in (
        replace(host, host_keys=(machine.public_line,)),
        replace(host, name="other", user="else"),
    ):
        with SystemSsh(ssh_config.private_config(other), other.name, "echo box") as ssh:
            assert ssh.output(60) is None
    with SystemSsh(ssh_config.private_config(host), host.name, "echo box") as ssh:
        assert ssh.output(60) == (b"box\n", b"")


def test_a_banner_is_not_taken_for_an_answer(
    shared_machine: OpenSshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho Welcome >&2\necho Welcome\nexec sleep 100\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(system_ssh, "_BEGIN_S", 0.5)
    with SystemSsh(tmp_path / "config", "box", "true") as ssh:
        assert ssh.output(60) is None


def test_without_room_for_files_of_its_own_a_check_is_made_all_the_same(
    shared_machine: OpenSshMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = host_of(shared_machine)

    def full(host: Host) -> Path:
        raise InputError("the SSH config cannot be written (No space left on device)")

    monkeypatch.setattr(ssh_config, "private_config", full)
    with state.asking(host.name, ASKED) as ask:
        assert ask(host, ASKED)
    with listing.differing_early(host, "~/work", Selection(tmp_path)) as answer:
        assert answer() is None
