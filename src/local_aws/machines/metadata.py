"""The instance metadata service (IMDSv2): metadata over HTTP, for a token.

EC2 User Guide, "Use the Instance Metadata Service to access instance metadata". Version 1, without tokens,
is off: `up` launches its instances so.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from http.client import responses

from local_aws.connections import connections
from local_aws.machines.listener import StreamListener

ADDRESS, PORT = "169.254.169.254", 80  # on every instance
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"  # overrides the address for AWS's SDKs
_TREE = "/latest/meta-data/"
_TOKEN, _TTL = "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_TTL_S = 21600
_HEAD_LIMIT = 16 * 1024  # bytes
_BACKLOG = 16  # asyncio accepts this many at once, before they are counted
_PATIENCE_S = 10.0  # for a whole request

Answer = tuple[int, str]


class Metadata:
    """The metadata of one boot of an instance. tree: the present items, by path below /latest/meta-data/."""

    def __init__(self, tree: Callable[[], Mapping[str, str]]) -> None:
        self._tree = tree
        self._tokens: dict[str, float] = {}  # when each expires, monotonic seconds

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """headers: names in lower case."""
        if path == "/latest/api/token":
            return self._token(method, headers)
        if method != "GET":
            return 405, ""
        if self._tokens.get(headers.get(_TOKEN, ""), 0.0) < time.monotonic():
            return 401, ""
        found = _look_up(self._tree(), path)
        return (404, "") if found is None else (200, found)

    def _token(self, method: str, headers: Mapping[str, str]) -> Answer:
        if method != "PUT":
            return 405, ""
        if "x-forwarded-for" in headers:
            return 403, ""  # an open proxy on the instance must not get one
        ttl = headers.get(_TTL, "")
        if not ttl.isdecimal() or not 1 <= int(ttl) <= _LONGEST_TTL_S:
            return 400, ""
        token = secrets.token_urlsafe(40)
        self._tokens[token] = time.monotonic() + int(ttl)
        return 200, token


class MetadataService:
    """Serves `Metadata` at a socket, from `open` to `close`, on the event loop. below: a prefix of paths."""

    def __init__(self, tree: Callable[[], Mapping[str, str]], *, below: str = "") -> None:
        self._below = below
        self._metadata = Metadata(tree)
        self._listener = StreamListener(self._serve, limit=_HEAD_LIMIT, backlog=_BACKLOG)

    async def open(self, listener: socket.socket) -> None:
        """listener: a bound socket in the machine's network."""
        await self._listener.open(listener)

    async def close(self) -> None:
        await self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        connections().add(peer, listener=self)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_S)
            method, path, headers = _parsed(head)
            if not hmac.compare_digest(path[: len(self._below)].encode(), self._below.encode()):
                writer.write(_response(404, ""))
                return
            path = path[len(self._below) :]
            # In a thread: reading the metadata waits for the lock of the whole cloud.
            writer.write(_response(*await asyncio.to_thread(self._metadata.answer, method, path, headers)))
        except (ValueError, asyncio.LimitOverrunError):
            writer.write(_response(400, ""))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            connections().remove(peer)


def _look_up(tree: Mapping[str, str], path: str) -> str | None:
    """The item at the path, or the names in the folder there, one per line; None if there is neither."""
    if not f"{path}/".startswith(_TREE):
        return None
    name = f"{path}/".removeprefix(_TREE).strip("/")
    if name in tree:
        return tree[name]
    folder = f"{name}/" if name else ""
    below = [item.removeprefix(folder) for item in tree if item.startswith(folder)]
    names = sorted({first + slash for first, slash, _ in (item.partition("/") for item in below)})
    return "\n".join(names) or None


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, path and headers. Raises ValueError for an invalid request."""
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return method, path.partition("?")[0], {name.strip().lower(): value.strip() for name, _, value in pairs}


def _response(status: int, body: str) -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status} {responses[status]}\r\nContent-Type: text/plain\r\nServer: EC2ws\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
