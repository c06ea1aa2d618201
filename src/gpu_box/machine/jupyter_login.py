"""Into JupyterLab without its token in an address, which browsers remember and process lists show.

The browser opens a page that is good for one visit. For it we log in, through the tunnel, and hand the
session's cookies on: cookies are of a host, not of a port (RFC 6265, 8.5), and both are 127.0.0.1.
"""

from __future__ import annotations

import http.client
import secrets
import threading
from collections.abc import Sequence
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlencode

_HERE = "127.0.0.1"
_PATIENCE_S = 20.0


class Door:
    """Within its `with` block, `address` leads into JupyterLab, once; whoever comes later is not let in.

    port: the tunnel's, here. page: where to begin, as "lab/tree/notebooks/lesson1.ipynb".
    """

    def __init__(self, *, port: int, page: str, token: str) -> None:
        inside, path = f"http://{_HERE}:{port}/{page}", f"/{secrets.token_urlsafe(24)}"
        unused = threading.Lock()

        class Visit(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not secrets.compare_digest(self.path.encode(), path.encode()):
                    self.send_error(404)
                    return
                cookies: Sequence[str] = ()
                if unused.acquire(blocking=False):
                    try:
                        cookies = sign_in(port, token)
                    except (OSError, http.client.HTTPException):
                        unused.release()
                        self.send_error(502, "JupyterLab does not answer", "Load this page again, soon.")
                        return
                self.send_response(303)
                for cookie in cookies:
                    self.send_header("Set-Cookie", cookie)
                self.send_header("Location", inside)
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer((_HERE, 0), Visit)
        self._server.daemon_threads = True
        self.address = f"http://{_HERE}:{self._server.server_port}{path}"

    def __enter__(self) -> Door:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def sign_in(port: int, token: str) -> Sequence[str]:
    """As its login page does: the `Set-Cookie` of the new session. Raises OSError, HTTPException.

    The form wants the `_xsrf` cookie's value a second time (tornado.web, check_xsrf_cookie).
    """
    connection = http.client.HTTPConnection(_HERE, port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/login")
        asked = connection.getresponse()
        asked.read()
        known: SimpleCookie = SimpleCookie()
        for cookie in asked.headers.get_all("Set-Cookie", []):
            known.load(cookie)
        form = {"password": token}
        form |= {name: morsel.value for name, morsel in known.items() if name == "_xsrf"}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in known.items()),
        }
        connection.request("POST", "/login", urlencode(form), headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (302, 303):
            raise OSError(f"JupyterLab's login answers {answer.status}")
        return [cookie for reply in (asked, answer) for cookie in reply.headers.get_all("Set-Cookie", [])]
    finally:
        connection.close()
