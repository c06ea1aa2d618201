"""An HTTP proxy on the machine's loopback, through which apt, pip and uv reach the network of the host.

The host's own loopback is blocked, since a box on AWS could not reach it either. If the host has a proxy, the
requests go there.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import urllib.request
from contextlib import suppress
from urllib.parse import SplitResult, unquote, urlsplit

from local_aws.machines.listener import StreamListener

PORT = 3128
_CHUNK = 64 * 1024  # bytes
_HEAD_LIMIT = 64 * 1024  # bytes
_DIAL_TIMEOUT_S = 30.0
_HOP_HEADERS = re.compile(rb"(?im)^(?:proxy-[a-z-]+|connection|keep-alive):[^\r\n]*\r\n")


class Forbidden(Exception):
    pass


class Proxy:
    def __init__(self) -> None:
        self._listener = StreamListener(_serve, limit=_HEAD_LIMIT)

    async def open(self, listener: socket.socket) -> None:
        """listener: a socket in the machine's namespace."""
        listener.bind(("127.0.0.1", PORT))
        await self._listener.open(listener)

    async def close(self) -> None:
        await self._listener.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await _relay(reader, writer)
    except Forbidden as error:
        writer.write(_refusal("403 Forbidden", str(error)))
    except (TimeoutError, OSError) as error:
        writer.write(_refusal("502 Bad Gateway", str(error)))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        writer.write(_refusal("400 Bad Request", "not a request to a proxy"))


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, version = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    tunnel = method == "CONNECT"
    url = urlsplit(f"//{target}" if tunnel else target)
    if url.hostname is None:
        raise ValueError(target)
    upstream = _upstream("https" if tunnel else "http", url.hostname)
    if upstream is not None:
        far_reader, far_writer = await _dial(str(upstream.hostname), upstream.port or 80, trusted=True)
        far_writer.write(
            _HOP_HEADERS.sub(b"", head)[:-2] + _credentials(upstream) + b"Connection: close\r\n\r\n"
        )
    else:
        far_reader, far_writer = await _dial(url.hostname, url.port or (443 if tunnel else 80))
        if tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            rest = _HOP_HEADERS.sub(b"", head.split(b"\r\n", 1)[1])[:-2]
            far_writer.write(
                f"{method} {path} {version}\r\n".encode("latin-1") + rest + b"Connection: close\r\n\r\n"
            )
    try:
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
    finally:
        far_writer.close()


async def _dial(
    host: str, port: int, *, trusted: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """trusted: the host's own proxy, which may be on its loopback."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not trusted and any(_is_private_to_host(address) for address in addresses):
        raise Forbidden(f"{host} is the host itself")
    return await asyncio.wait_for(asyncio.open_connection(addresses[0], port), _DIAL_TIMEOUT_S)


def _is_private_to_host(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified


def _upstream(scheme: str, host: str) -> SplitResult | None:
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(proxy if "//" in proxy else f"http://{proxy}")


def _credentials(upstream: SplitResult) -> bytes:
    if upstream.username is None:
        return b""
    pair = f"{unquote(upstream.username)}:{unquote(upstream.password or '')}"
    return b"Proxy-Authorization: Basic " + base64.b64encode(pair.encode()) + b"\r\n"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _refusal(status: str, why: str) -> bytes:
    body = f"{why}\n".encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
