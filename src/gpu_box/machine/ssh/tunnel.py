"""A local port that leads to a port of the box, and comes back by itself: after a link that broke, a laptop
that slept, a box that was stopped and is up again at another address.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from gpu_box.errors import CloudError, GpuBoxError, HostKeyChanged, InputError, MachineUnreachable
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.machine.ssh.errors import LoginRefused
from gpu_box.model.machine import Host
from gpu_box.model.observed import InstanceState
from gpu_box.model.progress import Reporter

if TYPE_CHECKING:
    from gpu_box.machine.ssh.connection import Channel

_STEP = "tunnel"
_PORTS_TRIED = 100
_LOOK_S = 0.5  # how often the link is looked at
_LONGEST_PAUSE_S = 15.0  # between two tries to come back
# A link that carries nothing for so long is asked whether it lives: TCP itself may take minutes to know.
_SILENT_S, _ANSWERS_WITHIN_S = 15.0, 10.0
# Between two looks so much time cannot pass, unless this computer slept: then the link is asked at once.
_SLEPT_S, _AWAKE_WITHIN_S = 5.0, 3.0
_CHUNK_BYTES = 64 * 1024


class Tunnel:
    """Open within its `with` block, on 127.0.0.1 alone. It never starts a box: a stopped one stays stopped.

    local_port: the one in use; the next free one where the wanted one is taken.
    """

    def __init__(
        self,
        host: Host,
        *,
        remote_port: int,
        local_port: int,
        report: Reporter,
        find: Callable[[], Host | InstanceState] | None = None,
        port_of: Callable[[Connection], int] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """find: where the box is by now, or how it is if it does not run; asked where it does not answer.

        port_of: the port by now; asked where nobody listens on remote_port. Both may raise GpuBoxError.
        connection: one that is open already, and ends with the tunnel.
        """
        self._host, self._find, self._port_of = host, find, port_of
        self._report = report
        self._carried = 0  # bytes, either way
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
                channel = self._channel()
            except (OSError, GpuBoxError):
                return  # a browser tries again by itself
            # A channel of a link that broke cannot be closed properly; nothing is lost by it.
            with contextlib.suppress(OSError, EOFError), contextlib.closing(channel):
                back = threading.Thread(target=self._copy, args=(channel, client), daemon=True)
                back.start()
                self._copy(client, channel)
                back.join()

    def _channel(self) -> Channel:
        assert self._connection
        try:
            return self._connection.channel_to(self.remote_port)
        except ConnectionRefusedError:
            if self._port_of is None or (port := self._port_of(self._connection)) == self.remote_port:
                raise
            self.remote_port = port
            return self._connection.channel_to(port)

    def _copy(self, source: socket.socket | Channel, sink: socket.socket | Channel) -> None:
        """Until the source ends; then tell the sink so, which may go on sending for its part."""
        with contextlib.suppress(OSError, EOFError):
            while piece := source.recv(_CHUNK_BYTES):
                sink.sendall(piece)
                self._carried += len(piece)
        with contextlib.suppress(OSError, EOFError):
            sink.shutdown(socket.SHUT_WR)

    def _keep_up(self) -> None:
        looked = heard = time.time()  # the wall clock: the other one may stand still while a computer sleeps
        carried = self._carried
        while not self._closed.wait(_LOOK_S):
            assert self._connection
            now = time.time()
            slept, looked = abs(now - looked) > _SLEPT_S, now
            if carried != self._carried and not slept:
                carried, heard = self._carried, now
            if slept or not 0 <= now - heard < _SILENT_S:
                heard = now
                if not self._connection.answers(_AWAKE_WITHIN_S if slept else _ANSWERS_WITHIN_S):
                    self._connection.close()
            if not self._connection.alive:
                self._come_back()
                looked = heard = time.time()

    def _come_back(self) -> None:
        self._report.start(_STEP, f"link to {self._host.name} broken: connecting again")
        pause_s = 0.5
        while not self._closed.is_set():
            try:
                fresh = self._reach()
            except (MachineUnreachable, LoginRefused):
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                self._closed.wait(pause_s)
            except GpuBoxError as error:  # another machine answers there, or there is no box: no tunnel to it
                self._report.failed(_STEP, f"link to {self._host.name} is lost")
                self._error = error
                self._close()
            else:
                self._connection = fresh
                self._report.done(_STEP, f"link to {self._host.name} is back")
                if self._closed.is_set():
                    fresh.close()
                return

    def _reach(self) -> Connection:
        """At its old address, which asks AWS nothing; else where AWS says that it is."""
        try:
            return connect(self._host)
        except (MachineUnreachable, LoginRefused, HostKeyChanged):
            found = self._look()
            if found is None or found == self._host:
                raise
            self._host = found
        return connect(self._host)

    def _look(self) -> Host | None:
        """None where AWS cannot tell now. Raises MachineUnreachable for a box that may come again."""
        if self._find is None:
            return None
        name = self._host.name
        try:
            found = self._find()
        except (
            CloudError
        ) as error:  # no network yet, or credentials that have expired: it may still come back
            self._report.update(_STEP, f"link to {name} broken: {error.what}")
            return None
        if isinstance(found, Host):
            return found
        if found is InstanceState.TERMINATED:
            raise CloudError(f"there is no box {name!r} any more", remedy="`gpu-box up` makes one.")
        self._report.update(_STEP, f"{name} is {found}: `gpu-box up` starts it, then this tunnel goes on")
        raise MachineUnreachable(f"box {name!r} is {found}")


def _listen(wanted: int) -> socket.socket:
    for port in range(wanted, min(wanted + _PORTS_TRIED, 65536)):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port), backlog=64)
    raise InputError(
        f"no local port is free from {wanted} to {wanted + _PORTS_TRIED - 1}", remedy="Choose another."
    )
