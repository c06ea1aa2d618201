"""A hostile AWS endpoint: a proxy before the embedded cloud that spoils one answer by a move of its table."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><br>Welcome<p>&nbsp;</body></html>"
XHTML = b'<html xmlns="http://www.w3.org/1999/xhtml"><body><p>Welcome</p></body></html>'
_LEAF = re.compile(rb"<(\w+)>([^<>]*)</\1>")
_ELEMENT = re.compile(rb"<(\w+)(?:/>|>.*?</\1>)", re.DOTALL)
_LIST = re.compile(rb"<(\w+)>\s*<(?:item|member)>.*</\1>|<(\w+(?:Set|Info|Groups))/>", re.DOTALL)
# Far beyond every limit, and not endless: where a limit is missing, a test fails and does not hang.
_FOR_EVER = {"drip": 600, "endless": 2000, "pages": 100}
_CONTROLS = "\u202e\u009b2J\u200f<b>[/]"  # XML 1.0 has no ESC


@dataclass(frozen=True)
class Sent:
    """An answer on its way. how: whole, cut (less than announced), drip, endless."""

    status: int
    kind: str  # the Content-Type
    body: bytes
    how: str = "whole"

    @property
    def is_json(self) -> bool:
        return "json" in self.kind


Move = Callable[[Sent, Random], Sent]


def _at_one(sent: Sent, draw: Random, in_xml: Move, in_json: Callable[[Any], Any]) -> Sent:
    """One element changed: of XML by `in_xml`, of JSON by `in_json`, which gets its value (None: remove)."""
    if not sent.is_json:
        return in_xml(sent, draw)
    root = json.loads(sent.body or b"{}")
    places = list(_places(root))
    if not places:
        return sent
    inside, name = draw.choice(places)
    if (value := in_json(inside[name])) is None:
        del inside[name]
    else:
        inside[name] = value
    return replace(sent, body=json.dumps(root).encode())


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inside in pairs:
        yield value, name
        yield from _places(inside)


def _replaced(pattern: re.Pattern[bytes], by: Callable[[re.Match[bytes]], bytes]) -> Move:
    def move(sent: Sent, draw: Random) -> Sent:
        found = [match for match in pattern.finditer(sent.body) if match.start() > sent.body.find(b">")]
        if not found:
            return sent
        one = draw.choice(found)
        return replace(sent, body=sent.body[: one.start()] + by(one) + sent.body[one.end() :])

    return move


def _missing(sent: Sent, draw: Random) -> Sent:
    return _at_one(sent, draw, _replaced(_ELEMENT, lambda _: b""), lambda _: None)


def _no_list(sent: Sent, draw: Random) -> Sent:
    def of_json(value: Any) -> Any:
        return None if isinstance(value, list) else value

    return _at_one(sent, draw, _replaced(_LIST, lambda _: b""), of_json)


def _other_text(text: str) -> Move:
    def of_xml(found: re.Match[bytes]) -> bytes:
        return b"<%s>%s</%s>" % (found[1], text.replace("<", "&lt;").encode(), found[1])

    return lambda sent, draw: _at_one(
        sent, draw, _replaced(_LEAF, of_xml), lambda value: text if isinstance(value, str) else value
    )


def _other_type(sent: Sent, draw: Random) -> Sent:
    other = draw.choice([{"a": [1]}, [], ["x"], -1, 1e999, True, "", "9" * 5000])
    nested = _replaced(_LEAF, lambda found: b"<%s><item><a/></item></%s>" % (found[1], found[1]))
    return _at_one(sent, draw, nested, lambda _: other)


def _unknown_state(sent: Sent, draw: Random) -> Sent:
    states = rb"running|pending|stopped|stopping|available|active|completed|in-use|ENABLED|shutting-down"
    return replace(sent, body=re.sub(rb'([>"])(?:%s)([<"])' % states, rb"\1hibernating\2", sent.body))


def _unknown_fields(sent: Sent, draw: Random) -> Sent:
    if sent.is_json:
        return _at_one(sent, draw, lambda s, _: s, lambda v: {**v, "New": [{}]} if isinstance(v, dict) else v)
    more = b"<newField><item><deep>1</deep></item></newField>"
    return replace(sent, body=re.sub(rb"(<item>)", rb"\1" + more, sent.body))


def _another_page(sent: Sent, draw: Random) -> Sent:
    token = f"page-{draw.random()}"
    if sent.is_json:
        return replace(sent, body=json.dumps({**json.loads(sent.body or b"{}"), "NextToken": token}).encode())
    end = sent.body.rfind(b"</")
    return replace(sent, body=sent.body[:end] + f"<nextToken>{token}</nextToken>".encode() + sent.body[end:])


def _nested(sent: Sent, draw: Random) -> Sent:
    if sent.is_json:
        return replace(sent, body=b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    root = re.search(rb"<(\w+Response)", sent.body)
    name = root[1] if root else b"Response"
    return replace(sent, body=b"<%s>%s</%s>" % (name, b"<a>" * 50_000 + b"</a>" * 50_000, name))


def _page(status: int, body: bytes, kind: str = "text/html") -> Move:
    return lambda sent, draw: Sent(status, kind, body)


MOVES: dict[str, Move] = {
    "half of the answer": lambda sent, draw: replace(sent, body=sent.body[: len(sent.body) // 2]),
    "half, then the end of the connection": lambda sent, draw: replace(sent, how="cut"),
    "a proxy's page": _page(200, HTML),
    "a proxy's page that is XML": _page(200, XHTML, "text/xml"),
    "a login page": _page(302, HTML),
    "a forbidden page": _page(403, HTML),
    "a gateway's page": _page(502, HTML),
    "nothing": lambda sent, draw: replace(sent, body=b""),
    "an error of another form": _page(400, b'["no"]', "application/json"),
    "an error without a code": _page(400, b"<Response><Errors/></Response>", "text/xml"),
    "another answer": _page(200, b"<GetCallerIdentityResponse/>", "text/xml"),
    "a field is missing": _missing,
    "a list is missing": _no_list,
    "no number": _other_text("nonsense"),
    "no text": _other_text(""),
    "another type": _other_type,
    "text that a terminal obeys": _other_text(_CONTROLS),
    "a far time": _other_text("99999-01-01T00:00:00Z"),
    "an unknown state": _unknown_state,
    "unknown fields": _unknown_fields,
    "bytes that are no text": lambda sent, draw: replace(sent, body=sent.body.replace(b"i", b"\xff\xfe", 3)),
    "nested deeply": _nested,
    "pages without end": _another_page,
    "a drip": lambda sent, draw: replace(sent, how="drip"),
    "bytes without end": lambda sent, draw: replace(sent, how="endless"),
}
FOR_EVER = frozenset({"pages without end", "a drip", "bytes without end"})


@dataclass
class Endpoint:
    """`spoil(at, move)`: spoil the answer number `at` (from 0), and the next ones of the same operation."""

    beyond: str
    address: str = ""
    operations: list[str] = field(default_factory=list)
    _move: str = ""
    _at: int = -1
    _struck: str = ""
    _asked: str = ""
    _times: int = 0
    _last: Sent = Sent(200, "", b"")
    _draw: Random = field(default_factory=Random)
    _lock: Lock = field(default_factory=Lock)

    def spoil(self, at: int, move: str, *, seed: object = 0, times: int = 3) -> None:
        with self._lock:
            self.operations.clear()
            self._move, self._at, self._struck, self._asked, self._times = move, at, "", "", times
            self._draw = Random(str((seed, at, move)))

    def spoil_operation(self, operation: str, move: str, *, asked: str = "") -> None:
        """asked: only where the request has this text."""
        self.spoil(-1, move, times=1 << 30)
        self._struck, self._asked = operation, asked

    def obey(self) -> None:
        self.spoil(-1, "")

    def answer(self, operation: str, sent: Sent, asked: bytes) -> Sent:
        with self._lock:
            if len(self.operations) == self._at:
                self._struck = operation
            self.operations.append(operation)
            struck = bool(self._move) and operation == self._struck and self._times > 0
            struck = struck and self._asked.encode() in asked
            if self._move == "pages without end" and self.operations.count(operation) > _FOR_EVER["pages"]:
                return self._last
            self._times -= struck
            if struck and sent.status < 300:
                self._last = sent
            elif struck and self._move == "pages without end":  # the cloud does not know the invented page
                sent = self._last
            return MOVES[self._move](sent, self._draw) if struck else sent


@contextmanager
def hostile_endpoint(beyond: str) -> Iterator[Endpoint]:
    """beyond: the address of the cloud that answers in truth."""
    endpoint = Endpoint(urlsplit(beyond).netloc)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(endpoint.beyond, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            true = Sent(answer.status, answer.getheader("Content-Type", ""), answer.read())
            connection.close()
            with suppress(OSError):
                operation = _operation(self.command, self.path, self.headers, body)
                self._send(endpoint.answer(operation, true, body))

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

        def _send(self, sent: Sent) -> None:
            self.send_response_only(sent.status)
            self.send_header("Content-Type", sent.kind)
            if sent.how in ("drip", "endless"):
                self.send_header("Connection", "close")
                self.end_headers()
                for _ in range(_FOR_EVER[sent.how]):
                    self.wfile.write(b" " * (1 if sent.how == "drip" else 1 << 16))
                    time.sleep(0.05 if sent.how == "drip" else 0)
                return
            self.send_header("Content-Length", str(len(sent.body)))
            self.end_headers()
            self.wfile.write(sent.body[: len(sent.body) // 2] if sent.how == "cut" else sent.body)
            if sent.how == "cut":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_WR)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def _operation(method: str, path: str, headers: Any, body: bytes) -> str:
    """Such as "DescribeInstances", or "GET /schedules" of a REST service."""
    if target := headers.get("X-Amz-Target", ""):
        return str(target.rpartition(".")[2])
    if action := parse_qs(body.decode("utf-8", "replace")).get("Action"):
        return action[0]
    return f"{method} {urlsplit(path).path}"
