"""Finds a user's Jupyter servers and sends them requests.

The sources are gpu-box's own port file (~/.gpu-box/jupyter) and the files that servers write to Jupyter's
runtime folder (jpserver-PID.json, ServerApp.server_info). Such a file outlives a killed server, so its pid
must belong to a Jupyter server that started before the file was written.
"""

import contextlib
import json
import os
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from .as_user import acting_as
from .people import User, runs_jupyter
from .processes import started
from .sockets import listener
from .text import names, read, values

MOST = 1 << 20  # bytes of an answer
SERVERS = 8  # per user, at most
FILES = 10000  # per folder, at most
SLACK = 5.0  # s by which a file may predate its process's start (rounding)


class Absent(OSError):
    """No server of this user listens on the port."""


class Server(NamedTuple):
    port: int
    token: str
    base: str  # path of its URL, "/"
    root: str  # the folder that document paths are relative to
    user: User  # the owner of the file that names it
    pid: Optional[int] = None  # None: unknown


class Servers:
    """Remembers verified files: after the clock is set, a file's age is meaningless."""

    def __init__(self) -> None:
        self._trusted: Set[Tuple[str, int, float]] = set()  # file, pid, start

    def of(self, user: User, *, boot: float) -> List[Server]:
        """This user's servers. boot: Unix time of this boot."""
        found: Dict[int, Server] = {}
        runtime = os.path.join(user.home, ".local/share/jupyter/runtime")
        infos, ours = [], None
        with contextlib.suppress(OSError), acting_as(user):
            for path in listed(runtime, "jpserver-", ".json"):
                with contextlib.suppress(OSError, ValueError):
                    pid = int(path.rpartition("-")[2][: -len(".json")])
                    if started(pid) is not None:
                        infos.append((path, pid, read(path, owner=user.uid), os.stat(path).st_mtime))
            ours = _ours(user, boot)
        for path, pid, content, written in infos:
            # Ignore half-written and foreign files.
            with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
                info = values(content)
                if self._is_alive(path, pid, written - boot):
                    root = str(info.get("root_dir") or user.home)
                    base = str(info.get("base_url") or "/")
                    server = Server(_port(info["port"]), str(info["token"]), base, root, user, pid)
                    found[server.port] = server
        if ours:
            found.setdefault(ours.port, ours)
        return list(found.values())[-SERVERS:]

    def _is_alive(self, path: str, pid: int, written: float) -> bool:
        """written: s since boot."""
        start = started(pid)
        if start is None or not runs_jupyter(pid):
            return False
        if (path, pid, start) not in self._trusted:
            if written < start - SLACK:
                return False
            self._trusted = {one for one in self._trusted if started(one[1]) == one[2]}
            self._trusted.add((path, pid, start))
        return True


def _ours(user: User, boot: float) -> Optional[Server]:
    folder = os.path.join(user.home, ".gpu-box", "jupyter")
    try:
        # A server from before this boot is gone.
        if os.stat(os.path.join(folder, "port")).st_mtime < boot - 60:
            return None
        port = _port(text(os.path.join(folder, "port"), user, 16))
    except (OSError, ValueError):
        return None
    token = text(os.path.join(folder, "token"), user, 256)
    return Server(port, token.strip(), "/", os.path.join(user.home, "work"), user)


def text(path: str, user: User, most: int = 65536) -> str:
    """The file's text, or "" if it cannot be read."""
    try:
        return read(path, most, owner=user.uid)
    except OSError:
        return ""


def _port(value: Any) -> int:
    port = int(value)
    if not 0 < port < 65536:
        raise ValueError("not a port")
    return port


def listed(folder: str, start: str, end: str) -> List[str]:
    """Paths of the files whose names start and end so; empty if the folder cannot be listed."""
    try:
        found = [name for name in names(folder, FILES) if name.startswith(start) and name.endswith(end)]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in found]


def ask(server: Server, path: str, end: float) -> Any:
    """GET a path of the REST API and return the parsed JSON. end: the time limit (monotonic).

    Raises Absent without a server, OSError for a late answer or a status other than 200, ValueError for
    invalid JSON.
    """
    request = "GET %s%s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nAuthorization: token %s\r\n\r\n"
    with _connect(server, end) as link:
        link.sendall((request % (server.base, path, server.port, server.token)).encode())
        answer = b""
        while len(answer) < MOST:
            left = end - time.monotonic()
            if left <= 0:  # also if a few bytes keep coming
                raise OSError("answers too slowly")
            link.settimeout(left)
            chunk = link.recv(65536)
            if not chunk:
                break
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError("answers %s" % head.split(b"\r\n")[0].decode("utf-8", "replace"))
    return json.loads(body.decode("utf-8"))


def _connect(server: Server, end: float) -> socket.socket:
    """Connect, if the listener is this user's: anyone who gets the token controls the server."""
    _refuse_stranger(server)
    with acting_as(server.user):
        link = socket.socket()
    try:
        link.settimeout(max(0.01, end - time.monotonic()))
        link.connect(("127.0.0.1", server.port))
        _refuse_stranger(server)  # the listener may have changed in between
    except OSError:
        link.close()
        raise
    return link


def _refuse_stranger(server: Server) -> None:
    owner = listener(server.port)
    if owner is None:
        raise Absent("nothing listens")
    if owner not in (server.user.uid, 0):
        raise Absent("another user listens there")
