"""The other server: the embedded cloud's own machine, by everything that happens over SSH."""

from __future__ import annotations

import random
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.cloud import wait_until

from gpu_box.errors import HostKeyChanged
from gpu_box.machine import jobs
from gpu_box.machine.files import sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh import attach, host_key, keys
from gpu_box.machine.ssh.connection import connect, wait_for_ssh
from gpu_box.machine.ssh.tunnel import Tunnel
from gpu_box.model.machine import Forward, Host
from tests.paths import REMOTE

from .. import needs
from .conftest import Recorder

pytest.importorskip("asyncssh")

from local_aws.machines.machine import Boot
from local_aws.machines.process.process import ProcessMachine
from tests.following import follow_lines


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("process")
    key = folder / "key"
    public = keys.ensure_key_pair(key)
    first = keys.first_host_key(key, "box", "g1")
    pem = "".join(f"    {line}\n" for line in first.private_openssh_pem.splitlines())
    user_data = (
        f"#cloud-config\nssh_keys:\n  ed25519_private: |\n{pem}  ed25519_public: {first.public_line}\n"
    )
    instance_id = f"i-{secrets.token_hex(8)}0"
    machine = ProcessMachine(instance_id, folder / "machine")
    port = machine.start(
        Boot(
            instance_id=instance_id,
            address="127.0.0.1",
            port=0,
            public_key=public.line,
            user_data=user_data.encode(),
            admits=lambda peer: True,
            exited=lambda: None,
        )
    )
    host = Host(
        name="box", address="127.0.0.1", port=port, user="ubuntu", key=key, host_keys=(first.public_line,)
    )
    with connect(host) as connection:
        upload_remote.upload(connection, REMOTE)
    yield host
    machine.destroy()


def test_it_presents_the_host_key_that_its_user_data_gave_it(host: Host, report: Recorder) -> None:
    with wait_for_ssh(host, timeout_s=10, report=report) as connection:
        assert connection.presented_key == host.host_keys[0]


def test_megabytes_both_ways_and_the_exit_status_arrive(host: Host) -> None:
    sent = random.Random(3).randbytes(3_000_000).hex().encode()
    with connect(host) as connection:
        result = connection.run("tee /dev/stderr; exit 9", stdin=sent, check=False)
    assert result.exit_status == 9
    assert result.stdout.encode() == sent
    assert result.stderr.encode() == sent


@pytest.mark.parametrize("transport", needs.TRANSPORTS)
def test_files_go_up_and_come_down(host: Host, tmp_path: Path, report: Recorder, transport: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "big.bin").write_bytes(random.Random(4).randbytes(5_000_000))
    for i in range(50):
        (project / f"{i}.txt").write_text(str(i))
    (project / "link").symlink_to("1.txt")
    with connect(host) as connection:
        dest = f"~/{transport}"
        assert sync.push(connection, Selection(project), dest, report=report, transport=transport).files == 52
        assert sync.push(connection, Selection(project), dest, report=report, transport=transport).files == 0
        down = tmp_path / "down"
        assert sync.pull(connection, dest, down, report=report).files == 52
    assert (down / "big.bin").read_bytes() == (project / "big.bin").read_bytes()
    assert (down / "link").is_symlink()


def test_a_job_runs_and_is_followed(host: Host) -> None:
    lines: list[str] = []
    with connect(host) as connection:
        jobs.start(connection, "hello", "echo hello; sleep 0.3; exit 2", cwd="~")
    assert follow_lines(host, "hello", lines.append) == 2
    assert lines == ["hello"]


def test_a_tunnel_leads_to_its_ports(host: Host, report: Recorder) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Tunnel(host, [Forward(local=23456, remote=server.getsockname()[1])], report=report) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.local_port), timeout=60) as client,
    ):
        peer, _ = server.accept()
        with peer:
            client.sendall(b"ping")
            assert peer.recv(4) == b"ping"
            peer.sendall(b"pong")
            assert client.recv(4) == b"pong"


def test_the_systems_ssh_attaches(host: Host) -> None:
    command = attach.ssh_command(host, ["echo $HOME"], tty=False)
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.stdout.strip().endswith("machine/home"), result.stderr


def test_its_host_key_is_replaced_with_no_restart(host: Host, report: Recorder) -> None:
    with wait_for_ssh(host, timeout_s=30, report=report) as connection:  # a busy machine answers late
        pending = host_key.prepare(connection)
        host_key.activate(connection)
    wait_until(lambda: _presents(pending, host))
    with pytest.raises(HostKeyChanged):
        connect(host)


def _presents(key: str, host: Host) -> bool:
    try:
        with connect(replace(host, host_keys=(key,))) as connection:
            return connection.presented_key == key
    except HostKeyChanged:
        return False
