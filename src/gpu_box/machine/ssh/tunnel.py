"""Forwards local ports to ports of the box over one connection, and reconnects: after a broken link, after
the laptop slept, and after the box was stopped and started again at another address.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpu_box.errors import CloudError, GpuBoxError, HostKeyChanged, InputError, MachineUnreachable
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.machine.ssh.errors import LoginRefused
from gpu_box.model.machine import Forward, Host
from gpu_box.model.observed import InstanceState
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Forwarded

if TYPE_CHECKING:
    from gpu_box.machine.ssh.connection import Channel

_STEP = "tunnel"
_PORTS_TRIED = 100
_CHECK_S = 0.5  # how often the link is checked
_LONGEST_PAUSE_S = 15.0  # between two attempts to reconnect
# A silent link is probed after this time: TCP itself may take minutes to notice that it is dead.
_SILENT_S, _ANSWERS_WITHIN_S = 15.0, 10.0
# A larger gap between two checks means that this computer slept: then the link is probed at once.
_SLEPT_S, _AWAKE_WITHIN_S = 5.0, 3.0
_CHUNK_BYTES = 64 * 1024


class _Door:
    """An open local port and the port of the box behind it."""

    def __init__(self, wanted: Forward) -> None:
        self.listener = _listen(wanted.local)
        self.local_port: int = self.listener.getsockname()[1]
        self.remote_port = wanted.remote
        self.refused = False  # whether nothing listened there at the last attempt


class Tunnel:
    """Open within its `with` block, on 127.0.0.1 only. Never starts a box."""

    def __init__(
        self,
        host: Host,
        forwards: Sequence[Forward],
        *,
        report: Reporter,
        find: Callable[[], Host | InstanceState] | None = None,
        port_of: Callable[[Connection], int] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """find: the box's current host or state, called if the box does not answer.

        port_of: the first one's current port on the box, called if nothing listens there. Both may raise
        GpuBoxError. connection: an open one, which ends with the tunnel.
        """
        self._host, self._find, self._port_of = host, find, port_of
        self._wanted = tuple(forwards)
        self._report = report
        self._carried = 0  # bytes in both directions
        self._connection = connection
        self._closed = threading.Event()
        self._error: GpuBoxError | None = None
        self._doors: list[_Door] = []
        self.forwarded: tuple[Forwarded, ...] = ()

    def __enter__(self) -> Tunnel:
        self._connection = self._connection or connect(self._host)
        try:
            for wanted in self._wanted:
                self.forward(wanted)
        except BaseException:
            self._close()
            raise
        self._keeper = threading.Thread(target=self._keep_up, daemon=True)
        self._keeper.start()
        return self

    def forward(self, wanted: Forward, *, program: str = "") -> Forwarded:
        """Forward one more port; the next free local port if that one is taken. Raises InputError."""
        door = _Door(wanted)
        self._doors.append(door)
        threading.Thread(target=self._accept, args=(door,), daemon=True).start()
        opened = Forwarded(
            port=wanted.remote,
            local_port=door.local_port,
            taken=wanted.local if wanted.local not in (0, door.local_port) else None,
            program=program,
        )
        self.forwarded += (opened,)
        return opened

    @property
    def local_port(self) -> int:
        """The local port of the first forward."""
        return self._doors[0].local_port

    @property
    def connection(self) -> Connection:
        """The current one, which may be broken."""
        assert self._connection
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._close()
        self._keeper.join(5)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until the tunnel fails for good, and raise the reason. Returns after timeout_s."""
        self._closed.wait(timeout_s)
        if self._error:
            raise self._error

    def _close(self) -> None:
        self._closed.set()
        for door in self._doors:
            with contextlib.suppress(OSError):
                door.listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
            door.listener.close()
        if self._connection:
            self._connection.close()

    def _accept(self, door: _Door) -> None:
        while not self._closed.is_set():
            try:
                client, _ = door.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(door, client), daemon=True).start()

    def _serve(self, door: _Door, client: socket.socket) -> None:
        with client:
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                channel = self._channel(door)
            except (ConnectionRefusedError, PermissionError) as error:
                if not door.refused:
                    self._report.note(str(error))
                door.refused = True
                return
            except (OSError, GpuBoxError):
                return  # a browser tries again
            door.refused = False
            # A channel of a broken link cannot be closed properly, which does no harm.
            with contextlib.suppress(OSError, EOFError), contextlib.closing(channel):
                back = threading.Thread(target=self._copy, args=(channel, client), daemon=True)
                back.start()
                self._copy(client, channel)
                back.join()

    def _channel(self, door: _Door) -> Channel:
        try:
            return self.connection.channel_to(door.remote_port)
        except ConnectionRefusedError:
            if self._port_of is None or door is not self._doors[0]:
                raise
            port = self._port_of(self.connection)
            if port == door.remote_port:
                raise
            door.remote_port = port
            return self.connection.channel_to(port)

    def _copy(self, source: socket.socket | Channel, sink: socket.socket | Channel) -> None:
        """Copy until the source ends, then tell the sink, which may keep sending."""
        with contextlib.suppress(OSError, EOFError):
            while piece := source.recv(_CHUNK_BYTES):
                sink.sendall(piece)
                self._carried += len(piece)
        with contextlib.suppress(OSError, EOFError):
            sink.shutdown(socket.SHUT_WR)

    def _keep_up(self) -> None:
        checked = heard = time.time()  # the monotonic clock may stop while a computer sleeps
        carried = self._carried
        while not self._closed.wait(_CHECK_S):
            now = time.time()
            slept, checked = abs(now - checked) > _SLEPT_S, now
            if carried != self._carried and not slept:
                carried, heard = self._carried, now
            if slept or not 0 <= now - heard < _SILENT_S:
                heard = now
                if not self.connection.answers(_AWAKE_WITHIN_S if slept else _ANSWERS_WITHIN_S):
                    self.connection.close()
            if not self.connection.alive:
                self._come_back()
                checked = heard = time.time()

    def _come_back(self) -> None:
        self._report.start(_STEP, f"link to {self._host.name} is broken: reconnecting")
        pause_s = 0.5
        while not self._closed.is_set():
            try:
                fresh = self._reach()
            except (MachineUnreachable, LoginRefused):
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                self._closed.wait(pause_s)
            except GpuBoxError as error:  # another machine answers there, or the box is gone
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
        """Connect to the old address, which needs no request to AWS, or to the one AWS reports."""
        try:
            return connect(self._host)
        except (MachineUnreachable, LoginRefused, HostKeyChanged):
            found = self._find_host()
            if found is None or found == self._host:
                raise
            self._host = found
        return connect(self._host)

    def _find_host(self) -> Host | None:
        """None if AWS cannot be asked now. Raises MachineUnreachable for a box that may run again."""
        if self._find is None:
            return None
        name = self._host.name
        try:
            found = self._find()
        except CloudError as error:  # no network yet, or expired credentials: it may still come back
            self._report.update(_STEP, f"link to {name} is broken: {error.what}")
            return None
        if isinstance(found, Host):
            return found
        if found is InstanceState.TERMINATED:
            raise CloudError(f"there is no box {name!r} any more", remedy="`gpu-box up` creates one.")
        self._report.update(_STEP, f"{name} is {found}: `gpu-box up` starts it, and this tunnel reconnects")
        raise MachineUnreachable(f"box {name!r} is {found}")


def _listen(wanted: int) -> socket.socket:
    """On that port, one of the next, or any free one. Raises InputError."""
    refused: OSError | None = None
    for port in (*range(wanted, min(wanted + _PORTS_TRIED, 65536)), 0):
        try:
            return socket.create_server(("127.0.0.1", port), backlog=64)
        except OSError as error:
            refused = refused or error
    assert refused
    raise InputError(f"no local port can be opened: {refused.strerror}", where=f"port {wanted}")
