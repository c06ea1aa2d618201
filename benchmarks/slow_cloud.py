"""A proxy in front of the embedded cloud that delays and records each call."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})
# The verb of a REST service's call, where no header or body names the operation.
_REST = {"GET": "Get", "POST": "Create", "PUT": "Update", "DELETE": "Delete"}


_Answer = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body


@dataclass(frozen=True)
class Call:
    """One request. began, ended: monotonic seconds at the client."""

    operation: str
    began: float
    ended: float
    status: int


def depth(calls: Iterable[Call]) -> int:
    """The length of the longest chain of calls that each began after the previous answer."""
    chains: list[tuple[Call, int]] = []
    for call in sorted(calls, key=lambda call: call.began):
        before = [length for other, length in chains if other.ended <= call.began]
        chains.append((call, 1 + max(before, default=0)))
    return max((length for _, length in chains), default=0)


class SlowCloud:
    """Delays every call by `latency_s`, any number in parallel.

    repeats: answer repeated requests from a cache, to exclude the cloud's own time; only for reads.
    """

    def __init__(self, endpoint: str) -> None:
        self.latency_s = 0.0
        self.repeats = False
        self.calls: list[Call] = []
        self._answers: dict[tuple[str, ...], _Answer] = {}
        self._lock = threading.Lock()
        self._behind = urlsplit(endpoint).netloc
        slow = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None: ...

            def _pass_on(self) -> None:
                began = time.monotonic()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                time.sleep(slow.latency_s)
                status, sent_back, content = slow._ask(self.command, self.path, headers, body)
                self.send_response_only(status)
                for name, value in sent_back:
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                name = operation(self.command, self.path, headers, body)
                # Record before sending: the client may ask for the record at once.
                slow._note(Call(name, began, time.monotonic(), status))
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _pass_on

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024  # a sweep comes with hundreds at once

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def forget(self) -> None:
        with self._lock:
            self.calls.clear()
            self._answers.clear()

    def _note(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> _Answer:
        scope = re.search(r"Credential=[^/]+/[^/]+/([^/]+/[^/]+)", headers.get("authorization", ""))
        asked = (method, path, scope[1] if scope else "", body.decode("latin-1"))
        if self.repeats and asked in self._answers:
            return self._answers[asked]
        connection = http.client.HTTPConnection(self._behind, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()
        self._answers[asked] = found
        return found


@contextmanager
def slow_cloud(endpoint: str) -> Iterator[SlowCloud]:
    cloud = SlowCloud(endpoint)
    thread = threading.Thread(target=cloud._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        cloud._server.shutdown()
        cloud._server.server_close()


def operation(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """AWS's name of the operation, from the header (JSON), the body (query) or the verb (REST).

    headers: with names in lower case.
    """
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    if action := parse_qs(body.decode("latin-1")).get("Action"):
        return action[0]
    noun = re.sub(r"[^a-z]", "", urlsplit(path).path.strip("/").partition("/")[0])
    return _REST.get(method, method) + noun.removesuffix("s").capitalize()
