"""Relays from the instance's public address to a port of the machine, in its own network namespace."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from local_aws.connections import connections
from local_aws.machines.listener import Tasks, accepted
from local_aws.machines.nspawn.namespace import Namespace
from local_aws.machines.process.sshd import listening_socket

_LOOPBACK = "127.0.0.1"
_CHUNK = 64 * 1024  # bytes
_PROBE_S = 0.05
_LOGIN_S = 120.0  # sshd_config(5), LoginGraceTime: a connection open after that has logged in


class Relay:
    """Refuses connections until the machine answers, as a booting instance does.

    A cut relay forwards nothing and closes nothing: both ends see a silent network.
    """

    def __init__(self, namespace: Namespace, box_port: int, admits: Callable[[str], bool]) -> None:
        self._namespace = namespace
        self._box_port = box_port
        self._admits = admits
        self._listener: socket.socket | None = None
        self._tasks = Tasks()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def open(self, address: str, port: int) -> int:
        """Listen at the address, at that port if it is free, and return the port."""
        self._listener = listening_socket(address, port, listen=False)
        loop = asyncio.get_running_loop()
        self._tasks.add(loop.create_task(self._answer_when_box_does(self._listener)))
        return int(self._listener.getsockname()[1])

    async def close(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        await self._tasks.end()

    async def cut(self, cut: bool) -> None:
        self._flowing.clear() if cut else self._flowing.set()

    async def _answer_when_box_does(self, listener: socket.socket) -> None:
        while (probe := await self._reach_box()) is None:
            await asyncio.sleep(_PROBE_S)
        probe.close()
        listener.listen(128)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        if peer := accepted(listener, self._admits):
            self._tasks.add(asyncio.get_running_loop().create_task(self._serve(peer)))

    async def _serve(self, peer: socket.socket) -> None:
        connections().add(peer, listener=self)
        logged_in = asyncio.get_running_loop().call_later(_LOGIN_S, connections().remove, peer)
        try:
            box = await self._reach_box()
            if box is not None:
                with box:
                    await self._join(peer, box)
        finally:
            logged_in.cancel()
            connections().remove(peer)
            peer.close()

    async def _reach_box(self) -> socket.socket | None:
        box = await asyncio.to_thread(self._namespace.socket)
        box.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(box, (_LOOPBACK, self._box_port))
        except OSError:  # nothing listens there, yet or any more
            box.close()
            return None
        return box

    async def _join(self, a: socket.socket, b: socket.socket) -> None:
        for end in (a, b):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(self._pump(a, b), self._pump(b, a))

    async def _pump(self, source: socket.socket, target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await loop.sock_recv(source, _CHUNK):
                await self._flowing.wait()
                await loop.sock_sendall(target, data)
            await self._flowing.wait()
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
