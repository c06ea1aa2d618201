"""One SSH connection to a verified machine. The only place for fabric and paramiko.

It uses only the config's key file and the pinned host keys: no agent, no ~/.ssh/config, no known_hosts, and
no trust on first use. fabric opens the connection; commands run on paramiko's channels below it, because
their output is bytes, not text. Both are imported at the first connection (0.3 s), and their exceptions stay
in this file and `handshake`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gpu_box import polling
from gpu_box.errors import MachineUnreachable
from gpu_box.machine.ssh.command import (
    MOST_BYTES,
    AfterMark,
    CallbackFailed,
    Clock,
    TooMuch,
    answering,
    exchange,
)
from gpu_box.machine.ssh.command import Result as Result
from gpu_box.machine.ssh.errors import (
    LoginRefused,
    command_failed,
    connection_lost,
    malformed,
    stalled,
    timed_out,
    too_much,
)
from gpu_box.machine.ssh.handshake import MALFORMED, WINDOW_BYTES, open_connection
from gpu_box.machine.ssh.sftp_limits import client_on
from gpu_box.machine.ssh.shell import LineSplitter
from gpu_box.model.machine import Host
from gpu_box.model.progress import Reporter

if TYPE_CHECKING:
    import paramiko

    # Types of what `channel_to` and `sftp` return.
    from paramiko import Channel as Channel
    from paramiko import SFTPClient as SFTPClient
    from paramiko import SFTPFile as SFTPFile

TIMEOUT_S = 60.0  # for our own short commands
STALLED_S = 60.0  # without a byte in either direction during a transfer
# The paths on Debian; Fedora; BSD and macOS; Arch.
_SFTP_SERVER = (
    "for f in /usr/lib/openssh /usr/libexec/openssh /usr/libexec /usr/lib/ssh; do "
    '[ ! -x "$f/sftp-server" ] || exec "$f/sftp-server"; done'
)
_LAST_BYTES = 64 * 1024
_POLL_S = 0.25  # how often port 22 is tried while a machine boots


def load_libraries() -> None:
    """Import early, while waiting for something else: it takes a third of a second."""
    import fabric  # noqa: F401


def _require_key(host: Host) -> None:
    from gpu_box.machine.ssh import keys  # its libraries are needed only to connect

    keys.read_key_pair(host.key)


def connect(host: Host, *, timeout_s: float = 10) -> Connection:
    """Raises InputError (the key file; before any network access), MachineUnreachable, HostKeyChanged,
    LoginRefused.
    """
    _require_key(host)
    return Connection(host, timeout_s=timeout_s)


def wait_for_ssh(host: Host, *, timeout_s: float, report: Reporter) -> Connection:
    """Try until the login succeeds. Only silence and a login that is not set up yet are waited for."""
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
        self.noisy = False  # the login prints text, which rsync and SFTP would read as their own
        self._connection = open_connection(host, timeout_s)
        self._transport: paramiko.Transport = self._connection.transport
        key = self._transport.get_remote_server_key()
        self.presented_key = f"{key.get_name()} {key.get_base64()}"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def alive(self) -> bool:
        return bool(self._transport.is_active())

    def answers(self, timeout_s: float) -> bool:
        """Whether the other end replies within timeout_s: TCP may not notice a dead link for a long time."""
        replied = threading.Event()

        def ask() -> None:
            # Returns with any reply, or when the link has ended.
            self._transport.global_request("keepalive@openssh.com", wait=True)
            replied.set()

        with contextlib.suppress(Exception):
            threading.Thread(target=ask, daemon=True).start()
        return replied.wait(timeout_s) and self.alive

    def run(
        self,
        command: str,
        *,
        stdin: bytes | Callable[[], bytes] = b"",
        on_line: Callable[[str], None] | None = None,
        on_data: Callable[[bytes], None] | None = None,
        check: bool = True,
        timeout_s: float | None = TIMEOUT_S,
        stall_s: float | None = None,
    ) -> Result:
        """Run a command line of sh on the machine, without a terminal.

        What the user's start files print is not part of its output.

        stdin: a function is called in a thread when the command has begun, and may take its time.
        on_line receives each line of standard output as it arrives, on_data each piece; with on_data the
        result keeps no output, with on_line the last 64 KB. timeout_s: for the whole command; stall_s:
        without a byte moving; None: no limit.

        Raises MachineError for an exit status other than 0 if `check`, on a time-out, and for more output
        than `command.MOST_BYTES`; MachineUnreachable if the connection breaks.
        """
        output, splitter, mark = bytearray(), LineSplitter(), AfterMark()

        def hand_on(piece: bytes) -> None:
            if on_data:
                on_data(piece)
            if on_line:
                for line in splitter.feed(piece):
                    on_line(line)

        def take(raw: bytes) -> None:
            if piece := mark.feed(raw):
                give(piece)

        def give(piece: bytes) -> None:
            if not on_data:
                output.extend(piece)
                if on_line:
                    del output[:-_LAST_BYTES]
                elif len(output) > MOST_BYTES:
                    raise TooMuch
            try:
                hand_on(piece)
            except Exception as error:
                raise CallbackFailed(error) from None

        clock = Clock(timeout_s, stall_s)
        with self._translated_errors(), contextlib.closing(self._channel()) as channel:
            try:
                marked = mark.command(command)
                status, errors = exchange(channel, marked, stdin=stdin, take=take, clock=clock)
                if rest := mark.rest():
                    give(rest)
            except TooMuch:
                raise too_much(self.host, command, MOST_BYTES) from None
            except TimeoutError:
                raise timed_out(self.host, command, timeout_s, stall_s) from None
            if status == -1:
                # Either a signal ended the command, or the connection broke and its thread is about to end.
                self._transport.join(0.3)
                if not self.alive:
                    raise EOFError
        self.noisy = self.noisy or mark.noise
        if on_line and (line := splitter.rest()):
            on_line(line)
        result = Result.of(status, bytes(output), errors)
        if check and status != 0:
            raise command_failed(self.host, command, result)
        return result

    def sftp(self) -> contextlib.AbstractContextManager[SFTPClient]:
        """An SFTP session, for a `with` block.

        Errors of files are OSError; a broken connection is MachineUnreachable, a transfer that stalls for
        STALLED_S is MachineError.
        """
        return self._sftp()

    def channel_to(self, port: int) -> Channel:
        """A byte stream to 127.0.0.1:port of the machine, or to ::1, where some servers listen only.

        Raises ConnectionRefusedError if nothing listens there, PermissionError if the SSH server refuses.
        """
        import paramiko

        with self._translated_errors():
            for address in ("127.0.0.1", "::1"):
                try:
                    return self._transport.open_channel(
                        "direct-tcpip",
                        (address, port),
                        ("127.0.0.1", 0),
                        window_size=WINDOW_BYTES,
                        timeout=10,
                    )
                except paramiko.ChannelException as error:
                    refused = error
            if refused.code == paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED:
                raise PermissionError(f"the SSH server of {self.host.name} refuses to forward port {port}")
            raise ConnectionRefusedError(f"nothing listens on port {port} of {self.host.name} now")

    @contextlib.contextmanager
    def _sftp(self) -> Iterator[SFTPClient]:
        import paramiko

        with self._translated_errors():
            channel = self._channel()
            channel.settimeout(STALLED_S)
            try:
                with answering(channel, STALLED_S):
                    self._begin_sftp(channel)
                with contextlib.closing(client_on(channel)) as client:
                    yield client
            except TimeoutError:
                channel.close()
                raise stalled(self.host, "SFTP", STALLED_S) from None
            except OSError as error:
                if error.errno is None and channel.closed:  # by the machine, on a connection that is open
                    raise connection_lost(self.host) from error
                raise
            except (paramiko.SFTPError, *MALFORMED) as error:
                channel.close()
                raise malformed(self.host, "SFTP") from error

    def _begin_sftp(self, channel: Channel) -> None:
        if not self.noisy:
            channel.invoke_subsystem("sftp")
            return
        mark = AfterMark()
        channel.exec_command(mark.command(_SFTP_SERVER))
        while not mark.found:
            piece = channel.recv(1)
            if not piece:
                raise EOFError
            mark.feed(piece)

    def _channel(self) -> Channel:
        return self._transport.open_session(window_size=WINDOW_BYTES, timeout=TIMEOUT_S)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        import paramiko

        try:
            yield
        except CallbackFailed as failed:
            raise failed.error from None
        except (paramiko.SSHException, EOFError, ConnectionError) as error:
            if isinstance(error, ConnectionRefusedError):
                raise
            raise connection_lost(self.host) from error
        except MALFORMED as error:
            if self._transport.is_active():  # else paramiko raises here what it met in its own thread
                raise
            raise malformed(self.host, "SSH") from error
        except OSError as error:
            # paramiko's "Socket is closed" is a plain OSError; errors of files have an errno or an open
            # connection.
            if error.errno is None and not self.alive:
                raise connection_lost(self.host) from error
            raise
