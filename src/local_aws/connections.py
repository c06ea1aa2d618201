"""A limit on connections that have not yet authenticated, for all listeners together.

Every user of this computer can connect to loopback, and each connection takes one of the files that a process
may have open.
"""

from __future__ import annotations

import resource
import socket
import threading
from collections import Counter
from contextlib import suppress
from functools import cache
from typing import Protocol

_FILES = 4096  # enough for many boxes; programs started in a box inherit it, and some loop over all of them
_MOST = 256
_SHARE = 4  # of the files; the rest is for the owner's connections and programs


class Connection(Protocol):
    """A socket, or asyncio's wrapper of one."""

    def shutdown(self, how: int, /) -> None: ...


class Connections:
    """The unauthenticated connections of this process. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turn = threading.Lock()
        self._unproven: dict[Connection, object] = {}  # oldest first, each with its listener

    def add(self, connection: Connection, *, listener: object) -> None:
        """Count the connection until `remove`. Over the limit, close the oldest one of the listener that has
        the most: a flood at one port does not close connections to another.
        """
        with self._turn:
            self._unproven[connection] = listener
            if len(self._unproven) <= self._limit:
                return
            busiest, _ = Counter(self._unproven.values()).most_common(1)[0]
            oldest = next(one for one, its in self._unproven.items() if its is busiest)
            del self._unproven[oldest]
            with suppress(OSError):  # it has closed already
                oldest.shutdown(socket.SHUT_RDWR)

    def remove(self, connection: Connection) -> None:
        """Stop counting the connection: it has authenticated or ended. Idempotent."""
        with self._turn:
            self._unproven.pop(connection, None)


@cache
def connections() -> Connections:
    """The connections of this process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Connections(_MOST if files == resource.RLIM_INFINITY else min(_MOST, files // _SHARE))


def raise_file_limit() -> None:
    """Raise the limit of open files: many desktops start programs with 1024 and allow more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
