"""A hostile SSH server that has the box's host key: a table of moves, each a way not to answer as a box does.

python -m tests.hostile.ssh_server       lists the moves
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType

import paramiko

_PIECE = b"A" * 32768
_PATIENCE_S = 25.0  # no move is longer, so that a missing limit makes a test fail and not hang
_LOST = (OSError, EOFError, paramiko.SSHException)


class Server:
    """On 127.0.0.1:port within its `with` block. Everybody may log in."""

    def __init__(self, move: str, host_key: paramiko.PKey) -> None:
        self._move, self._key = MOVES[move], host_key
        self.over = threading.Event()

    def __enter__(self) -> Server:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        self._patience = threading.Timer(_PATIENCE_S, self.over.set)
        self._patience.daemon = True
        self._patience.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._patience.cancel()
        self._listener.close()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(*_LOST):
            if self._move.socket:
                self._move.socket(client, self.over)
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(self._key)
            transport.start_server(server=_Login(self._move, self.over))
            while transport.is_active() and not self.over.wait(0.05):
                pass
            transport.close()


class Move:
    """socket: instead of SSH. run: on the channel of a command; sftp: of the subsystem."""

    def __init__(
        self,
        *,
        socket: Callable[[socket.socket, threading.Event], None] | None = None,
        run: Callable[[paramiko.Channel, threading.Event], None] | None = None,
        sftp: Callable[[paramiko.Channel, threading.Event], None] | None = None,
        opens: bool = True,
        answers: bool = True,
        banner: str = "",
    ) -> None:
        self.socket, self.run, self.sftp = socket, run, sftp
        self.opens, self.answers, self.banner = opens, answers, banner


class _Login(paramiko.ServerInterface):
    def __init__(self, move: Move, over: threading.Event) -> None:
        self._move, self._over = move, over

    def get_banner(self) -> tuple[str | None, str | None]:
        return (self._move.banner, "en") if self._move.banner else (None, None)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if not self._move.opens:
            self._over.wait()
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self._begin(channel, self._move.run)

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        return self._begin(channel, self._move.sftp)

    def _begin(
        self, channel: paramiko.Channel, work: Callable[[paramiko.Channel, threading.Event], None] | None
    ) -> bool:
        if not self._move.answers:
            self._over.wait()
        if work is None:
            return False

        def run() -> None:
            with contextlib.suppress(*_LOST):
                work(channel, self._over)

        threading.Thread(target=run, daemon=True).start()
        return True


def _says(first: bytes, *, every: bytes = b"", pause_s: float = 0.05) -> Callable[..., None]:
    def move(link: socket.socket | paramiko.Channel, over: threading.Event) -> None:
        link.sendall(first)
        while not over.wait(pause_s):
            if every:
                link.sendall(every)

    return move


def _silent(link: object, over: threading.Event) -> None:
    over.wait()


def _endless(channel: paramiko.Channel, over: threading.Event) -> None:
    while not over.is_set():
        channel.sendall(_PIECE)


def _endless_errors(channel: paramiko.Channel, over: threading.Event) -> None:
    while not over.is_set():
        channel.sendall_stderr(_PIECE)


def _closes(channel: paramiko.Channel, over: threading.Event) -> None:
    time.sleep(0.02)
    channel.close()


def _no_status(channel: paramiko.Channel, over: threading.Event) -> None:
    time.sleep(0.02)
    channel.shutdown_write()
    over.wait()


def _status(status: int) -> Callable[..., None]:
    def move(channel: paramiko.Channel, over: threading.Event) -> None:
        time.sleep(0.02)
        channel.sendall_stderr(b"x\x1b]0;pwned\x07[/]\n")
        channel.send_exit_status(status)
        channel.close()

    return move


def _signal(channel: paramiko.Channel, over: threading.Event) -> None:
    """ "exit-signal" of RFC 4254, 6.10, with a name that rich reads as markup."""
    time.sleep(0.02)
    message = paramiko.Message()
    message.add_byte(bytes([98]))
    message.add_int(channel.remote_chanid)
    message.add_string("exit-signal")
    message.add_boolean(False)
    for text in ("[/]\x1b[2J", "x"):
        message.add_string(text)
    channel.transport._send_user_message(message)
    channel.close()


def _sftp(*packets: bytes, version: bytes = struct.pack(">IBI", 5, 2, 3)) -> Callable[..., None]:
    """The version's packet, then one of `packets` for each request, the last again and again."""

    def move(channel: paramiko.Channel, over: threading.Event) -> None:
        channel.recv(65536)
        channel.sendall(version)
        count = 0
        while not over.is_set():
            asked = channel.recv(65536)
            if not asked:
                return
            number = asked[5:9]
            packet = packets[min(count, len(packets) - 1)]
            count += 1
            channel.sendall(struct.pack(">I", len(packet) + 4) + packet[:1] + number + packet[1:])

    return move


def _reads(*answers: Callable[[int, int], Iterable[bytes]]) -> Callable[..., None]:
    """Opens every file. Each reading of `length` bytes is answered by packets from one of `answers`, which
    gets the request's number and the length: the first reading by the first, all after the last by the last.
    """

    def move(channel: paramiko.Channel, over: threading.Event) -> None:
        wire, count = channel.makefile("rb"), 0
        while not over.is_set():
            asked = wire.read(int.from_bytes(wire.read(4), "big"))
            if not asked:
                return
            kind, number = asked[0], int.from_bytes(asked[1:5], "big")
            packets: Iterable[bytes] = [_packet(101, number, struct.pack(">III", 0, 0, 0))]
            if kind == 1:
                packets = [struct.pack(">IBI", 5, 2, 3)]
            elif kind == 3:
                packets = [_packet(102, number, struct.pack(">I", 1) + b"h")]
            elif kind == 5:
                packets = answers[min(count, len(answers) - 1)](number, int.from_bytes(asked[-4:], "big"))
                count += 1
            for packet in packets:
                channel.sendall(packet)

    return move


def _packet(kind: int, number: int, rest: bytes) -> bytes:
    return struct.pack(">IBI", 5 + len(rest), kind, number) + rest


def _data(number: int, length: int) -> list[bytes]:
    return [_packet(103, number, struct.pack(">I", length) + bytes(length))]


def _nothing(number: int, length: int) -> list[bytes]:
    return []


def _strays(number: int, length: int) -> list[bytes]:
    return [_packet(103, 0xFFFFFF, struct.pack(">I", 0)) * 1000] * 5


_HELLO = b"SSH-2.0-OpenSSH_9.6\r\n"
MOVES = {
    "accepts and says nothing": Move(socket=_silent),
    "a line a moment, never its version": Move(socket=_says(b"", every=b"hello\r\n", pause_s=0.01)),
    "a version without end": Move(socket=_says(b"SSH-2.0-", every=_PIECE, pause_s=0)),
    "a byte a moment": Move(socket=_says(b"", every=b"S")),
    "a web server": Move(socket=lambda link, over: link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "a version that is no UTF-8": Move(socket=_says(b"SSH-2.0-\xff\x1b]0;x\x07\r\n")),
    "a version, then nothing": Move(socket=_says(_HELLO)),
    "a version, then noise": Move(socket=_says(_HELLO + bytes(range(256)) * 8)),
    "a packet of 4 GB": Move(socket=_says(_HELLO + b"\xff\xff\xff\xff" + bytes(64))),
    "a greeting that is malformed": Move(
        socket=_says(_HELLO + struct.pack(">IBB", 44, 4, 20) + b"\xff" * 39 + bytes(4))
    ),
    "never opens a channel": Move(opens=False),
    "never answers a request": Move(answers=False),
    "refuses every request": Move(),
    "runs nothing and says nothing": Move(run=_silent, sftp=_silent),
    "a byte a moment without end": Move(run=_says(b"", every=b"x"), sftp=_says(b"", every=b"\0")),
    "output without end": Move(run=_endless, sftp=_endless),
    "errors without end": Move(run=_endless_errors, sftp=_endless_errors),
    "closes at once": Move(run=_closes, sftp=_closes),
    "the end of the output and no status": Move(run=_no_status),
    "a status of 2^32-1": Move(run=_status(2**32 - 1)),
    "ends by a signal that is markup": Move(run=_signal),
    "a login banner that is obeyed": Move(run=_status(1), banner="\x1b]52;c;cHdu\x07\x1b[2J"),
    "SFTP of another version": Move(sftp=_sftp(b"", version=struct.pack(">IBI", 5, 2, 0xFFFFFFFF))),
    "SFTP: garbage for a version": Move(sftp=_sftp(b"", version=b"Welcome to Ubuntu\n" * 9)),
    "SFTP: an answer of no known kind": Move(sftp=_sftp(b"\xc8junk")),
    "SFTP: a handle that is cut": Move(sftp=_sftp(b"\x66\xff\xff\xff\xff")),
    "SFTP: a status that is no UTF-8": Move(
        sftp=_sftp(b"\x65" + struct.pack(">II", 4, 4) + b"\xff\xfe\x1b[" + struct.pack(">I", 0))
    ),
    "SFTP: attributes that make no sense": Move(
        sftp=_sftp(b"\x66" + struct.pack(">I", 1) + b"h", b"\x69" + b"\xff" * 40)
    ),
    "SFTP: data without end": Move(
        sftp=_sftp(b"\x66" + struct.pack(">I", 1) + b"h", b"\x67" + struct.pack(">I", 30000) + bytes(30000))
    ),
    "SFTP: the first piece of a file, then nothing": Move(sftp=_reads(_data, _nothing)),
    "SFTP: every piece of a file but the first": Move(sftp=_reads(_nothing, _data)),
    "SFTP: more of a file than was asked for": Move(
        sftp=_reads(_nothing, lambda number, length: _data(number, 30 * length))
    ),
    "SFTP: thousands of answers to nothing": Move(sftp=_reads(_strays, _nothing)),
}

if __name__ == "__main__":
    print("\n".join(MOVES))
