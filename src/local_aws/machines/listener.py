"""A socket on the event loop, and a task for each connection to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_CLOSING_S = 5.0


class Tasks:
    """The running tasks of one listener."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def add(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def end(self, *, cancel: bool = True) -> None:
        """Wait until all have ended, 5 s at most. cancel: False does not interrupt them."""
        for task in self._running if cancel else ():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSING_S)


class StreamListener:
    """Serves a socket from `open` to `close`, both on the event loop."""

    def __init__(self, serve: Serve, *, limit: int, backlog: int = 100) -> None:
        """limit: the most bytes of a request's head. backlog: connections that are accepted at once."""
        self._serve = serve
        self._limit, self._backlog = limit, backlog
        self._server: asyncio.Server | None = None
        self._tasks = Tasks()

    async def open(self, listener: socket.socket) -> None:
        """listener: a bound socket."""
        self._server = await asyncio.start_server(
            self._connected, sock=listener, limit=self._limit, backlog=self._backlog
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._tasks.end()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # by `close`; asyncio of Python 3.11 would log a traceback
        finally:
            with suppress(OSError):
                writer.close()
                await writer.wait_closed()


def accepted(listener: socket.socket, admits: Callable[[str], bool]) -> socket.socket | None:
    """The next connection; None if it closed before, or if its address is not admitted.

    A security group drops packets silently; closing saves a test a minute of waiting.
    """
    try:
        peer, (address, *_) = listener.accept()
    except OSError:
        return None
    if not admits(address):
        peer.close()
        return None
    peer.setblocking(False)
    return peer
