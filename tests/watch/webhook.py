"""A webhook on loopback that gives set answers and records requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Notice:
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Webhook:
    """answers: (status, headers) for the next requests; then 200."""

    address: str
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    tried: int = 0
    taken: list[Notice] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, headers = hook.answers[hook.tried] if hook.tried < len(hook.answers) else (200, {})
            hook.tried += 1
            if status == 200:
                hook.taken.append(Notice(self.path, dict(self.headers), body))
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(f"http://127.0.0.1:{server.server_port}/services/T0/SECRET")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
