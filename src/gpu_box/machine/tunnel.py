"""A local port that leads to a port of the box, and comes back by itself when the link breaks."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from gpu_box.errors import GpuBoxError, InputError, MachineUnreachable
from gpu_box.machine.connection import Connection, connect
from gpu_box.machine.failures import LoginRefused
from gpu_box.model import Host, Reporter

if TYPE_CHECKING:
    from gpu_box.machine.connection import Channel

_STEP = "tunnel"
_PORTS_TRIED = 100
_LOOK_S = 0.5  # how often the link is looked at
_LONGEST_PAUSE_S = 15.0  # between two tries to come back
_CHUNK_BYTES = 64 * 1024


class Tunnel:
    """Open within its `with` block, on 127.0.0.1 alone. It never starts a box: a stopped one stays stopped.

    local_port: the one in use; the next free one where the wanted one is taken. connection: one that is open
    already, and ends with it.
    """

    def __init__(
        self,
        host: Host,
        *,
        remote_port: int,
        local_port: int,
        report: Reporter,
        connection: Connection | None = None,
    ) -> None:
        self._host = host
        self._report = report
        self._connection = connection
        self._closed = threading.Event()
        self._error: GpuBoxError | None = None
        self.remote_port = remote_port
        self.local_port = local_port

    def __enter__(self) -> Tunnel:
        self._connection = self._connection or connect(self._host)
        try:
            self._listener = _listen(self.local_port)
        except BaseException:
            self._connection.close()
            raise
        self.local_port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._accept, self._keep_up)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        for thread in self._threads:
            thread.join(5)

    def wait(self, timeout_s: float | None = None) -> None:
        """Until the tunnel cannot come back: raises why. Returns after timeout_s."""
        self._closed.wait(timeout_s)
        if self._error:
            raise self._error

    def _close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._listener.close()
        if self._connection:
            self._connection.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                assert self._connection
                channel = self._connection.channel_to(self.remote_port)
            except (OSError, MachineUnreachable):
                return  # a browser tries again by itself
            # A channel of a link that broke cannot be closed properly; nothing is lost by it.
            with contextlib.suppress(OSError, EOFError), contextlib.closing(channel):
                back = threading.Thread(target=_copy, args=(channel, client), daemon=True)
                back.start()
                _copy(client, channel)
                back.join()

    def _keep_up(self) -> None:
        pause_s, broken = 0.5, False
        while not self._closed.wait(_LOOK_S):
            assert self._connection
            if self._connection.alive:
                pause_s = 0.5
                continue
            if not broken:
                self._report.start(_STEP, f"link to {self._host.name} broken: connecting again")
            broken = True
            try:
                fresh = connect(self._host)
            except (MachineUnreachable, LoginRefused):
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                self._closed.wait(pause_s)
            except GpuBoxError as error:  # another machine answers there: no tunnel to it
                self._report.failed(_STEP, f"link to {self._host.name} is lost")
                self._error = error
                self._close()
            else:
                self._connection = fresh
                self._report.done(_STEP, f"link to {self._host.name} is back")
                broken = False
                if self._closed.is_set():
                    fresh.close()


def _listen(wanted: int) -> socket.socket:
    for port in range(wanted, min(wanted + _PORTS_TRIED, 65536)):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port), backlog=64)
    raise InputError(
        f"no local port is free from {wanted} to {wanted + _PORTS_TRIED - 1}", remedy="Choose another."
    )


def _copy(source: socket.socket | Channel, sink: socket.socket | Channel) -> None:
    """Until the source ends; then tell the sink so, which may go on sending for its part."""
    with contextlib.suppress(OSError, EOFError):
        while piece := source.recv(_CHUNK_BYTES):
            sink.sendall(piece)
    with contextlib.suppress(OSError, EOFError):
        sink.shutdown(socket.SHUT_WR)
