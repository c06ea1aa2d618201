"""Bytes moved by people's TCP sockets, from the kernel's socket list (as `ss -ti` shows them).

The kernel has no network byte count per process, and an interface's counters mix a data set with apt. The
socket list has each socket's owner and bytes. Connections to sshd belong to root and count as well: `ssh box
tar c data` uses no other socket, and an idle tunnel or editor stays far below the 1 MB/s threshold. Loopback
does not count (a browser's tunnel ends there). A connection opened and closed between two samples is missed;
its bytes show up as disk writes.
"""

import socket
import struct
from typing import Callable, Dict, Iterator, Optional, Tuple

from .sockets import TCP_INFO, sockets

STATES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9  # established and the four that still carry data
BYTES_ACKED = 120  # offset in struct tcp_info of bytes_acked and, behind it, bytes_received (u64 each)


class Network:
    """Counts the bytes of sockets whose owner passes `counts`."""

    def __init__(self, counts: Callable[[int], bool], ssh: int = 22) -> None:
        """counts: called with a uid. ssh: sshd's port, whose connections always count."""
        self._counts, self._ssh = counts, ssh
        self._seen: Optional[Dict[bytes, int]] = None

    def look(self) -> Optional[int]:
        """Bytes in and out since the last call; None at the first. Raises OSError if the kernel refuses."""
        now = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            for cookie, moved in _sockets(family, self._counts, self._ssh):
                now[cookie] = moved
        before, self._seen = self._seen, now
        if before is None:
            return None
        return sum(max(0, moved - before.get(cookie, 0)) for cookie, moved in now.items())


def _sockets(family: int, counts: Callable[[int], bool], ssh: int) -> Iterator[Tuple[bytes, int]]:
    """(cookie, bytes so far) of each open TCP socket except on loopback."""
    for one in sockets(family, STATES, info=True):
        if (counts(one.owner) or one.port == ssh) and not _loopback(family, one.address):
            yield one.cookie, _moved(one.attributes)


def _loopback(family: int, address: bytes) -> bool:
    mapped = address[:12] == b"\0" * 10 + b"\xff\xff" and address[12] == 127
    return address[0] == 127 if family == socket.AF_INET else mapped or address == b"\0" * 15 + b"\1"


def _moved(attributes: bytes) -> int:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == TCP_INFO and length >= 4 + BYTES_ACKED + 16:
            return sum(struct.unpack_from("=QQ", attributes, 4 + BYTES_ACKED))
        attributes = attributes[max(4, (length + 3) & ~3) :]
    return 0
