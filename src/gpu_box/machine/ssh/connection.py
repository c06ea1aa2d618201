"""One SSH connection to a machine that is known to be the right one. Only here: fabric and paramiko.

The key file of the config and the pinned host keys are all that counts: no agent, no ~/.ssh/config, no
known_hosts, and never a key accepted because it was the first. fabric opens and keeps the connection;
commands run on paramiko's channels below it, for their bytes are not text. Both are imported at the first
connection (0.3 s), and none of their exceptions leaves this file.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gpu_box import polling
from gpu_box.errors import MachineUnreachable
from gpu_box.machine.ssh.command import MOST_BYTES, Clock, TooMuch, exchange
from gpu_box.machine.ssh.command import Result as Result
from gpu_box.machine.ssh.errors import (
    LoginRefused,
    command_failed,
    connection_lost,
    host_key_changed,
    login_refused,
    no_answer,
    stalled,
    timed_out,
    too_much,
)
from gpu_box.machine.ssh.shell import LineSplitter
from gpu_box.model.machine import Host
from gpu_box.model.progress import Reporter
from gpu_box.model.public_key import fingerprint

if TYPE_CHECKING:
    import fabric
    import paramiko

    # The types of what `channel_to` and `sftp` give, for whoever uses them.
    from paramiko import Channel as Channel
    from paramiko import SFTPClient as SFTPClient
    from paramiko import SFTPFile as SFTPFile

# An SSH keepalive this often keeps NAT tables warm; a peer that acknowledges nothing for the second is gone.
_KEEPALIVE_S = 15
_DEAD_PEER_MS = 45_000
_WINDOW_BYTES = 4 * 1024 * 1024  # paramiko's 2 MiB holds a link of 100 ms to 20 MB/s
TIMEOUT_S = 60.0  # for a command of ours that only asks or writes a little
STALLED_S = 60.0  # without a byte either way, while files are on their way
_POLL_S = 0.25  # how often port 22 is tried while a machine boots


def load_libraries() -> None:
    """While something else is waited for: a third of a second that no connection has to wait for then."""
    import fabric  # noqa: F401


def _require_key(host: Host) -> None:
    from gpu_box.machine.ssh import keys  # and its libraries, which whoever only names a host does not need

    keys.read_key_pair(host.key)


def connect(host: Host, *, timeout_s: float = 10, attempts: int = 1) -> Connection:
    """Connect and verify; `attempts` counts tries against a machine that does not answer.

    Raises InputError (the key file; before any network), MachineUnreachable, HostKeyChanged, LoginRefused.
    """
    _require_key(host)
    for attempt in range(1, attempts + 1):
        try:
            return Connection(host, timeout_s=timeout_s)
        except MachineUnreachable:
            if attempt == attempts:
                raise
            time.sleep(min(0.5 * 2**attempt, 5))
    raise AssertionError("attempts is at least 1")


def wait_for_ssh(host: Host, *, timeout_s: float, report: Reporter) -> Connection:
    """Try until the machine lets us in. Only silence and a login not yet set up are waited for."""
    _require_key(host)
    refused: MachineUnreachable | LoginRefused | None = None
    for waited_s in polling.attempts(timeout_s, every_s=_POLL_S):
        if refused:
            report.update("ssh", f"{refused.what} yet, {waited_s:.0f} s")
        try:
            return Connection(host, timeout_s=min(5.0, timeout_s))
        except (MachineUnreachable, LoginRefused) as error:
            refused = error
    assert refused is not None, "there is at least one attempt"
    raise refused


class Connection:
    """Open until `close` or the end of the `with` block."""

    def __init__(self, host: Host, *, timeout_s: float = 10) -> None:
        self.host = host
        self._connection = _open(host, timeout_s)
        self._transport: paramiko.Transport = self._connection.transport
        key = self._transport.get_remote_server_key()
        self.presented_key = f"{key.get_name()} {key.get_base64()}"

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def alive(self) -> bool:
        return bool(self._transport.is_active())

    def answers(self, timeout_s: float) -> bool:
        """Whether the other end says anything within timeout_s: a link may be dead long before TCP knows."""
        told = threading.Event()

        def ask() -> None:
            # Returns when it is answered, yes or no, or when the link has ended.
            self._transport.global_request("keepalive@openssh.com", wait=True)
            told.set()

        with contextlib.suppress(Exception):
            threading.Thread(target=ask, daemon=True).start()
        return told.wait(timeout_s) and self.alive

    def run(
        self,
        command: str,
        *,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        on_data: Callable[[bytes], None] | None = None,
        check: bool = True,
        timeout_s: float | None = TIMEOUT_S,
        stall_s: float | None = None,
    ) -> Result:
        """Run a shell command on the machine, without a terminal.

        on_line gets each line of its standard output as it comes, on_data each piece of it; with on_data
        nothing of it is kept in the result. timeout_s: for all of it; stall_s: without a byte of its standard
        input or output moving; None: no limit.

        Raises MachineError for an exit status other than 0 if `check`, when its time is over, and for more
        output than `command.MOST_BYTES`; MachineUnreachable when the connection breaks.
        """
        output, splitter = bytearray(), LineSplitter()

        def take(piece: bytes) -> None:
            if on_data:
                on_data(piece)
            else:
                output.extend(piece)
                if len(output) > MOST_BYTES:
                    raise TooMuch
            if on_line:
                for line in splitter.feed(piece):
                    on_line(line)

        clock = Clock(timeout_s, stall_s)
        with self._translated_errors(), contextlib.closing(self._channel()) as channel:
            try:
                status, errors = exchange(channel, command, stdin=stdin or b"", take=take, clock=clock)
            except TooMuch:
                raise too_much(self.host, command, MOST_BYTES) from None
            except TimeoutError:
                raise timed_out(self.host, command, timeout_s, stall_s) from None
            if status == -1:
                # Either a signal ended the command, or the connection broke: then its thread is about to end.
                self._transport.join(0.3)
                if not self.alive:
                    raise EOFError
        if on_line and (rest := splitter.rest()):
            on_line(rest)
        result = Result.of(status, bytes(output), errors)
        if check and status != 0:
            raise command_failed(self.host, command, result)
        return result

    def sftp(self) -> contextlib.AbstractContextManager[SFTPClient]:
        """An SFTP session, for a `with` block.

        Errors of files are OSError; a broken connection is MachineUnreachable, one that stands still for
        STALLED_S is MachineError.
        """
        return self._sftp()

    def channel_to(self, port: int) -> Channel:
        """A byte stream to 127.0.0.1:port of the machine.

        Raises ConnectionRefusedError if nothing listens there.
        """
        import paramiko

        with self._translated_errors():
            try:
                return self._transport.open_channel(
                    "direct-tcpip",
                    ("127.0.0.1", port),
                    ("127.0.0.1", 0),
                    window_size=_WINDOW_BYTES,
                    timeout=10,
                )
            except paramiko.ChannelException as error:
                raise ConnectionRefusedError(f"port {port} on the box: {error}") from None

    @contextlib.contextmanager
    def _sftp(self) -> Iterator[SFTPClient]:
        import paramiko

        with self._translated_errors():
            channel = self._channel()
            channel.settimeout(STALLED_S)
            try:
                channel.invoke_subsystem("sftp")
                with contextlib.closing(paramiko.SFTPClient(channel)) as client:
                    yield client
            except TimeoutError:
                channel.close()
                raise stalled(self.host, "SFTP", STALLED_S) from None

    def _channel(self) -> Channel:
        return self._transport.open_session(window_size=_WINDOW_BYTES, timeout=TIMEOUT_S)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        import paramiko

        try:
            yield
        except (paramiko.SSHException, EOFError, ConnectionError) as error:
            if isinstance(error, ConnectionRefusedError):
                raise
            raise connection_lost(self.host) from error
        except OSError as error:
            # paramiko says "Socket is closed" by a plain OSError; files have an errno or an open connection.
            if error.errno is None and not self.alive:
                raise connection_lost(self.host) from error
            raise


def _open(host: Host, timeout_s: float) -> fabric.Connection:
    """Connected, verified and logged in. Nothing of the user's own SSH or fabric settings takes part."""
    import fabric
    import paramiko

    # paramiko logs each broken connection with a traceback; we raise our own errors for them.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)

    class Pinned(paramiko.MissingHostKeyPolicy):  # no known_hosts is loaded: every key is asked of it
        def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:
            _verify(host, key)

    def make_transport(sock: socket.socket, **settings: Any) -> paramiko.Transport:
        transport = paramiko.Transport(sock, default_window_size=_WINDOW_BYTES, **settings)
        transport.handshake_timeout = timeout_s
        _ask_for_pinned_kinds(transport, host)
        return transport

    connection = fabric.Connection(
        host.address,
        user=host.user,
        port=host.port,
        config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
        connect_timeout=timeout_s,
        connect_kwargs={
            "pkey": paramiko.PKey.from_path(host.key),
            "sock": _open_socket(host, timeout_s),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": timeout_s,
            "auth_timeout": timeout_s,
            "transport_factory": make_transport,
        },
    )
    connection.client.set_missing_host_key_policy(Pinned())
    try:
        connection.open()
        connection.transport.set_keepalive(_KEEPALIVE_S)
        return connection
    except paramiko.ssh_exception.IncompatiblePeer:
        connection.client.close()
        raise host_key_changed(host, "of another kind") from None
    except paramiko.AuthenticationException:
        connection.client.close()
        raise login_refused(host) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        connection.client.close()
        raise no_answer(host, error) from None
    except BaseException:
        connection.client.close()
        raise


def _open_socket(host: Host, timeout_s: float) -> socket.socket:
    try:
        link = socket.create_connection((host.address, host.port), timeout=timeout_s)
    except OSError as error:
        raise no_answer(host, error) from None
    # Without this, a command on an open connection takes 48 ms instead of 5.
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere the system's own, minutes
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
    return link


def _ask_for_pinned_kinds(transport: paramiko.Transport, host: Host) -> None:
    """A machine has keys of several kinds and would present one that we have not pinned."""
    pinned = {line.split()[0] for line in host.host_keys}
    if "ssh-rsa" in pinned:
        pinned |= {"rsa-sha2-512", "rsa-sha2-256"}
    options = transport.get_security_options()
    options.key_types = [kind for kind in options.key_types if kind in pinned]


def _verify(host: Host, presented: paramiko.PKey) -> None:
    if any(base64.b64decode(line.split()[1]) == presented.asbytes() for line in host.host_keys):
        return
    raise host_key_changed(host, fingerprint(f"{presented.get_name()} {presented.get_base64()}"))
