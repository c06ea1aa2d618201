"""Log in to JupyterLab without its token in a URL, which browsers remember and process lists show.

The browser opens a page that works once. We log in through the tunnel and pass the session's cookies on:
cookies belong to a host, not to a port (RFC 6265, 8.5), and both are 127.0.0.1.

The page's address is in the browser's arguments, which every user of this computer can read, and use
first. On Linux, where the kernel names a connection's user, the page opens for this user alone. Elsewhere
the browser gets a private file that leads to the page, as Jupyter does it; on Linux that would fail in
browsers that are snaps, which may not read such files (github.com/jupyter/notebook/issues/4500).
"""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

from gpu_box.files import write_whole
from gpu_box.store.files import data_home

_HERE = "127.0.0.1"
# IPv6 sockets connect to IPv4 addresses, too (RFC 4291, 2.5.5.2). Linux, proc(5).
_CONNECTIONS = ("/proc/net/tcp", "/proc/net/tcp6")
_ESTABLISHED = "01"
_PATIENCE_S = 20.0


class OneTimeLink:
    """Within its `with` block, `address` opens JupyterLab once; later visits are not logged in.

    port: the tunnel's local port. page: the first page, such as "lab/tree/notebooks/lesson1.ipynb".
    """

    def __init__(self, *, port: int, page: str, token: str) -> None:
        self._only_mine = False
        self._file: Path | None = None
        inside, path = f"http://{_HERE}:{port}/{page}", f"/{secrets.token_urlsafe(24)}"
        unused = threading.Lock()

        allows = self._allows

        class Visit(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not allows(self.connection):
                    self.send_error(403, "Another user of this computer opened JupyterLab")
                    return
                if not secrets.compare_digest(self.path.encode(), path.encode()):
                    self.send_error(404)
                    return
                cookies: Sequence[str] = ()
                if unused.acquire(blocking=False):
                    try:
                        cookies = sign_in(port, token)
                    except (OSError, http.client.HTTPException):
                        unused.release()
                        self.send_error(502, "JupyterLab does not answer", "Reload this page in a moment.")
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

    def __enter__(self) -> OneTimeLink:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._remove_file()

    def open(self, browser: Callable[[str], bool]) -> bool:
        """Open the page. browser: opens an address for this user; returns False if there is no browser."""
        self._only_mine = _knows_users()
        address = self.address if self._only_mine else self._write_file().as_uri()
        if browser(address):
            return True
        self._only_mine = False  # the address is in no process's arguments
        self._remove_file()
        return False

    def _allows(self, connection: socket.socket) -> bool:
        return not self._only_mine or _is_mine(connection)

    def _write_file(self) -> Path:
        self._file = data_home() / f"jupyter-{secrets.token_hex(8)}.html"
        refresh = f'<meta http-equiv="refresh" content="0; url={self.address}">'
        write_whole(self._file, f"<!DOCTYPE html><title>JupyterLab</title>{refresh}\n")
        return self._file

    def _remove_file(self) -> None:
        if self._file:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)


def _knows_users() -> bool:
    """Whether the kernel names the user of a connection. In WSL a browser of Windows connects as root."""
    return os.access(_CONNECTIONS[0], os.R_OK) and "microsoft" not in os.uname().release.lower()


def _is_mine(connection: socket.socket) -> bool:
    """Whether a process of this user is at the other end. An ended connection has no user, or root."""
    theirs, ours = _in_proc(connection.getpeername()), _in_proc(connection.getsockname())
    for table in _CONNECTIONS:
        with suppress(OSError):
            for row in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                _, local, remote, state, *_, uid = row.split()[:8]
                if local.endswith(theirs) and remote.endswith(ours) and state == _ESTABLISHED:
                    return int(uid) == os.getuid()
    return False


def _in_proc(address: tuple[str, int]) -> str:
    """ "0100007F:1F90": the address as a number of this processor, and the port."""
    number = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"


def sign_in(port: int, token: str) -> Sequence[str]:
    """Log in as the login page does; return the `Set-Cookie` headers. Raises OSError, HTTPException.

    The form repeats the `_xsrf` cookie's value (tornado.web, check_xsrf_cookie).
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
