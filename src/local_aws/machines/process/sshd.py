"""The SSH server of one process machine: its clients, its host key, and what they may request."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import asyncssh

from local_aws.connections import connections
from local_aws.machines.listener import Tasks, accepted
from local_aws.machines.process import session
from local_aws.machines.process.sftp import HomeSFTP

_LOGIN = "ubuntu"
_HOST_KEY = "ssh_host_ed25519_key"
_LOGIN_S = 30.0  # gpu-box logs in with a key, without typing; OpenSSH allows 120
_log = logging.getLogger(__name__)


class Sshd:
    """Listens from `open` to `close`, both on the event loop. `groups`: the process groups it started."""

    def __init__(
        self, *, home: Path, environment: Mapping[str, str], public_key: str, admits: Callable[[str], bool]
    ) -> None:
        self.groups: set[int] = set()
        self._home = home
        self._environment = environment
        self._authorised = asyncssh.import_public_key(public_key)
        self._admits = admits
        self._host_key = self._read_host_key()
        self._peers: set[socket.socket] = set()
        self._tasks = Tasks()
        self._listener: socket.socket | None = None

    async def open(self, address: str, port: int) -> int:
        """Listen at the address, at that port if it is free, and return the port."""
        self._listener = listening_socket(address, port)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        return int(self._listener.getsockname()[1])

    async def cut(self, cut: bool) -> None:
        """Close every connection and answer no new one, until the cut is over."""
        assert self._listener is not None
        if cut:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._break_all()
        else:
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def close(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        self._break_all()
        await self._tasks.end(cancel=False)

    def _break_all(self) -> None:
        for peer in self._peers:
            with suppress(OSError):  # it has closed already
                peer.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        if peer := accepted(listener, self._admits):
            self._tasks.add(asyncio.get_running_loop().create_task(self._serve(peer)))

    async def _serve(self, peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers.add(peer)
        connections().add(peer, listener=self)
        try:
            connection = await asyncssh.run_server(
                peer,
                server_factory=partial(_Gatekeeper, self._authorised),
                server_host_keys=[self._current_host_key()],
                process_factory=partial(
                    session.serve, home=self._home, environment=self._environment, groups=self.groups
                ),
                sftp_factory=partial(HomeSFTP, home=self._home),
                encoding=None,
                line_editor=False,
                password_auth=False,
                kbdint_auth=False,
                login_timeout=_LOGIN_S,
            )
            connections().remove(peer)  # `run_server` returns after the login
            await connection.wait_closed()
        except (OSError, asyncssh.Error) as error:
            _log.debug("%s", error)  # a port scan, or a client that refused the host key
        finally:
            connections().remove(peer)
            self._peers.discard(peer)
            peer.close()

    def _current_host_key(self) -> asyncssh.SSHKey:
        """Read at each connection, so that a new key in the folder replaces the old one."""
        try:
            self._host_key = self._read_host_key()
        except (OSError, asyncssh.KeyImportError) as error:
            _log.warning("host key in %s: %s; the key before stays in use", self._folder, error)
        return self._host_key

    def _read_host_key(self) -> asyncssh.SSHKey:
        return asyncssh.read_private_key(self._folder / _HOST_KEY)

    @property
    def _folder(self) -> Path:
        return self._home / ".sshd"


class _Gatekeeper(asyncssh.SSHServer):
    def __init__(self, authorised: asyncssh.SSHKey) -> None:
        self._authorised = authorised

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == _LOGIN and key.public_data == self._authorised.public_data

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True  # local forwarding; what it reaches is the host's own loopback


def listening_socket(address: str, port: int, *, listen: bool = True) -> socket.socket:
    """A socket at the address, at that port if it is free, else at any. listen: False only binds it."""
    for wanted in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, wanted))
        except OSError:
            listener.close()
            if wanted == 0:
                raise
            continue
        if listen:
            listener.listen(128)
        listener.setblocking(False)
        return listener
    raise AssertionError("unreachable")
