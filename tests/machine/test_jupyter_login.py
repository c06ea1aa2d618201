"""The one-time link to JupyterLab, which stands in a browser's arguments for all users of the computer."""

from __future__ import annotations

import http.client
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from gpu_box.machine import jupyter_login
from gpu_box.machine.jupyter_login import OneTimeLink

from .. import needs

TOKEN = "the-token"


@pytest.fixture
def port() -> Iterator[int]:
    """A JupyterLab that logs everybody in."""

    class Lab(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(302, "session=secret")

        def _answer(self, status: int, cookie: str = "_xsrf=x") -> None:
            self.send_response(status)
            self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Lab)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextmanager
def opened(port: int, *, there: bool = True) -> Iterator[tuple[OneTimeLink, str]]:
    """The link, and the address that the browser got. there: whether there is a browser."""
    got: list[str] = []

    def browser(address: str) -> bool:
        got.append(address)
        return there

    with OneTimeLink(port=port, page="lab", token=TOKEN) as link:
        assert link.open(browser) is there
        yield link, got[0]


def visit(address: str) -> tuple[int, str]:
    """Status and cookies."""
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.request("GET", url.path)
    answer = connection.getresponse()
    connection.close()
    return answer.status, "; ".join(answer.headers.get_all("Set-Cookie", []))


# A neighbour that saw the address in the process list; half: it ends its side at once, so that the kernel
# names no user any more.
NEIGHBOUR = """
import os, socket, sys
host, port, path, half = sys.argv[1:]
host.encode("idna")  # its module may be unreadable afterwards
os.setgid(65534); os.setuid(65534)
with socket.create_connection((host, int(port)), 10) as connection:
    connection.sendall(f"GET {path} HTTP/1.0\\r\\n\\r\\n".encode())
    if half == "half":
        connection.shutdown(socket.SHUT_WR)
    print(connection.makefile("rb").read().decode())
"""


@needs.root
@pytest.mark.parametrize("half", ["whole", "half"])
def test_a_neighbour_with_the_address_gets_no_session(port: int, half: str) -> None:
    with opened(port) as (link, address):
        assert address == link.address and TOKEN not in address
        url = urlsplit(address)
        words = [sys.executable, "-c", NEIGHBOUR, str(url.hostname), str(url.port), url.path, half]
        said = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
        assert " 403 " in said and "session" not in said
        assert visit(address) == (303, "_xsrf=x; session=secret")  # and the link still works for its user


def test_the_link_opens_jupyter_once(port: int) -> None:
    with opened(port) as (_, address):
        assert "session=secret" in visit(address)[1]
        assert visit(address) == (303, "")


def test_where_no_user_is_known_the_browser_gets_a_private_file(
    port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(jupyter_login, "_knows_users", lambda: False)
    with opened(port) as (link, address):
        file = Path(urlsplit(address).path)
        assert address.startswith("file:///") and link.address.rpartition("/")[2] not in address
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        leads_to = re.search(r"url=([^\"]+)", file.read_text())
        assert leads_to and "session=secret" in visit(leads_to[1])[1]
    assert not file.exists()


def test_without_a_browser_the_printed_link_needs_no_user(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(port, there=False) as (link, _):
        monkeypatch.setattr(jupyter_login, "_is_mine", lambda _: False)
        assert "session=secret" in visit(link.address)[1]
