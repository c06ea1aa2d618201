"""The kernel's list of TCP sockets (sock_diag(7)): owners, addresses and optionally struct tcp_info."""

import socket
import struct
from typing import Iterator, NamedTuple, Optional

SOCK_DIAG, TCP_INFO = 4, 2  # NETLINK_SOCK_DIAG, INET_DIAG_INFO; linux/inet_diag.h
BY_FAMILY, DUMP = 20, 0x301  # SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP
LISTEN = 1 << 10  # TCP_LISTEN in include/net/tcp_states.h
LOCAL = b"\x7f\0\0\1"
MAPPED = b"\0" * 10 + b"\xff\xff"  # prefix of an IPv4 address in an IPv6 socket


class Tcp(NamedTuple):
    owner: int  # uid
    address: bytes  # local address, 16 bytes; IPv4 in the first four
    port: int  # local port
    cookie: bytes  # unique among all sockets
    attributes: bytes


def sockets(family: int, states: int, *, info: bool = False) -> Iterator[Tcp]:
    """The sockets in these states (one bit per TCP state). Raises OSError if the kernel refuses."""
    extensions = 1 << (TCP_INFO - 1) if info else 0
    request = struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, extensions, 0, states)
    header = struct.pack("=IHHII", 16 + len(request), BY_FAMILY, DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as link:
        link.settimeout(2.0)
        link.send(header + request)
        while True:
            data = link.recv(1 << 16)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == 3:  # NLMSG_DONE
                    return
                if kind == 2:  # NLMSG_ERROR
                    raise OSError(-struct.unpack_from("=i", data, 16)[0], "the kernel lists no sockets")
                message, data = data[16:length], data[(length + 3) & ~3 :]
                (owner,) = struct.unpack_from("=I", message, 64)
                (port,) = struct.unpack_from(">H", message, 4)
                yield Tcp(owner, message[8:24], port, message[44:52], message[72:])


def listener(port: int) -> Optional[int]:
    """The uid that owns the listener of 127.0.0.1:port, or None.

    The most specific address wins: 127.0.0.1, then any IPv4, then any IPv6 (compute_score in
    net/ipv4/inet_hashtables.c).
    """
    found = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for one in sockets(family, LISTEN):
            if one.port != port:
                continue
            address = one.address[:4] if family == socket.AF_INET else one.address
            if address in (LOCAL, MAPPED + LOCAL):
                found[0] = one.owner
            elif not any(address.replace(MAPPED, b"")):
                found[1 if family == socket.AF_INET else 2] = one.owner
    return found[min(found)] if found else None
