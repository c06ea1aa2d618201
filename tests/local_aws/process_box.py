"""One process machine, without a cloud around it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
from testbed.cloud import KeyFile
from testbed.ssh import Ssh

from local_aws.machines.machine import Boot

ID = "i-0123456789abcdef0"
ADDRESS = "127.77.0.7"
admitted = {"127.0.0.1"}


def boot(key: KeyFile, *, port: int = 0, user_data: bytes = b"") -> Boot:
    return Boot(
        instance_id=ID, address=ADDRESS, port=port, public_key=key.public, user_data=user_data,
        admits=lambda peer: peer in admitted, exited=lambda: None,
    )  # fmt: skip


@contextmanager
def connected(ssh: Ssh) -> Iterator[paramiko.SSHClient]:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(ssh.known_hosts))
        client.connect(
            ssh.address,
            ssh.port,
            ssh.user,
            key_filename=str(ssh.key.path),
            allow_agent=False,
            look_for_keys=False,
        )
        transport = client.get_transport()
        assert transport is not None
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client
