"""Jupyter: its kernels by the REST API, what their processes use, and open documents by their saves.

A kernel's own output is no use of it: while it is busy it counts by its processes alone, so a cell that
sleeps, polls and prints is stuck. A kernel was used when its state changes, or its last activity while idle.
"""

import contextlib
import json
import os
import re
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple, Union

from ..sample import Jupyter, Kernel, Unknown, Used
from .as_user import acting_as
from .change import Changes
from .moment import unix_time
from .people import User
from .processes import Processes, time_since_boot
from .sockets import listener
from .text import names, read, shown, values

MOST = 1 << 20  # bytes of an answer
ALTOGETHER = 3  # times the timeout of one user, for all
SERVERS = 8  # asked for one user
FILES = 1000  # looked at in a folder
KERNELS = 200  # of one server
KERNEL_ID = re.compile(r"kernel-(?:v\d+)?([0-9a-f-]{36})")
WRITTEN_BY_PEOPLE = re.compile(
    r"\.(ipynb|py|md|rst|tex|r|jl|c|cc|cpp|cu|h|sh|ya?ml|toml|json|html|css|js|ts)$", re.I
)
WORKSPACE = re.compile(r'"path": ?"((?:[^"\\]|\\.)*)"')  # of an open tab, in a *.jupyterlab-workspace file


class Server(NamedTuple):
    port: int
    token: str
    base: str  # its URL's path, "/"
    root: str  # the folder its documents' paths start from
    user: User  # whose it says it is


class Found(NamedTuple):
    """A kernel, as its server tells of it."""

    id: str
    document: str
    state: str
    used: str  # its last activity
    user: User


class Kernels:
    """Every Jupyter server of these users. `read` asks the servers at most every `slow` seconds.

    timeout: s for all servers of one user.
    """

    def __init__(self, processes: Processes, *, slow: float, timeout: float) -> None:
        self._processes = processes
        self._slow, self._timeout = slow, timeout
        self._changes = Changes()
        self._asked = float("-inf")
        self._answers: List[Found] = []
        self._open: Dict[str, Tuple[str, User]] = {}  # documents: path -> name, whose
        self._problem = ""
        self._pids: Dict[str, int] = {}  # kernel id -> pid

    def read(
        self, users: List[User], gpu_pids: Set[int], *, mono: float, wall: float, now: bool = False
    ) -> Union[Jupyter, Unknown, None]:
        """None where no server was ever started since boot; Unknown while one of them does not answer."""
        if now or mono - self._asked >= self._slow:
            self._asked = mono
            self._ask(users, wall)
        if self._problem:
            return Unknown(self._problem)
        if not self._answers and not self._open:
            return None
        kernels = [self._kernel(found, gpu_pids, mono, wall) for found in self._answers]
        documents = [
            self._document(path, name, user, mono, wall) for path, (name, user) in sorted(self._open.items())
        ]
        self._changes.keep_only({_key(found) for found in self._answers} | set(self._open))
        return Jupyter(tuple(kernels), tuple(documents))

    def _ask(self, users: List[User], wall: float) -> None:
        self._answers, self._open, self._problem = [], {}, ""
        boot = wall - time_since_boot()
        latest = time.monotonic() + ALTOGETHER * self._timeout
        for user in users:
            end = min(latest, time.monotonic() + self._timeout)
            for server in servers([user], boot=boot):
                try:
                    found = _kernels(server, end)
                except (OSError, ValueError) as error:
                    self._problem = shown("Jupyter on port %d: %s" % (server.port, error))
                    break  # of this user; the others' are asked all the same
                self._answers += found
                for name in {one.document for one in found} | set(_tabs(user)):
                    if WRITTEN_BY_PEOPLE.search(name):
                        self._open[os.path.join(server.root, name)] = (name, user)
        self._find_pids()

    def _find_pids(self) -> None:
        """A kernel's process has its connection file, kernel-ID.json, among its arguments."""
        wanted = {found.id for found in self._answers}
        self._pids = {name: pid for name, pid in self._pids.items() if name in wanted}
        if wanted <= set(self._pids) and all(self._processes.start(pid) for pid in self._pids.values()):
            return
        for pid in self._processes.people():
            try:
                found = KERNEL_ID.search(read("/proc/%d/cmdline" % pid))
            except OSError:
                continue
            if found and found.group(1) in wanted:
                self._pids[found.group(1)] = pid

    def _kernel(self, found: Found, gpu_pids: Set[int], mono: float, wall: float) -> Kernel:
        stamp = (found.state, found.used if found.state == "idle" else "")
        quiet = self._changes.quiet(_key(found), stamp, mono=mono, age=_age(found.used, wall))
        use = self._processes.tree(self._pids.get(found.id, -1))
        on_gpu = bool(use.pids & gpu_pids)
        return Kernel(shown(found.document), found.state, quiet, use.cores, use.bps, on_gpu)

    def _document(self, path: str, name: str, user: User, mono: float, wall: float) -> Used:
        try:
            with acting_as(user):
                status = os.stat(path)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return Used(shown(name), None)
        quiet = self._changes.quiet(path, status.st_mtime_ns, mono=mono, age=wall - status.st_mtime)
        return Used(shown(name), quiet)


def servers(users: List[User], *, boot: float) -> List[Server]:
    """Ours (~/.gpu-box/jupyter) and any that a user started (jpserver-PID.json), this boot's only."""
    return [server for user in users for server in _servers(user, boot)]


def _servers(user: User, boot: float) -> List[Server]:
    found: Dict[int, Server] = {}
    runtime = os.path.join(user.home, ".local/share/jupyter/runtime")
    infos, ours = [], None
    with contextlib.suppress(OSError), acting_as(user):
        infos = [_text(path, user) for path in _listed(runtime, "jpserver-", ".json")]
        ours = _ours(user, boot)
    for text in infos:
        with contextlib.suppress(
            ValueError, KeyError, TypeError, OverflowError
        ):  # being written, or not a server's
            info = values(text)
            if os.path.exists("/proc/%d" % int(info["pid"])):
                root = str(info.get("root_dir") or user.home)
                base = str(info.get("base_url") or "/")
                server = Server(_port(info["port"]), str(info["token"]), base, root, user)
                found[server.port] = server
    if ours:
        found.setdefault(ours.port, ours)
    return list(found.values())[-SERVERS:]


def _ours(user: User, boot: float) -> Optional[Server]:
    folder = os.path.join(user.home, ".gpu-box", "jupyter")
    try:
        # Written before this boot: that server died with the machine.
        if os.stat(os.path.join(folder, "port")).st_mtime < boot - 60:
            return None
        port = _port(_text(os.path.join(folder, "port"), user, 16))
    except (OSError, ValueError):
        return None
    token = _text(os.path.join(folder, "token"), user, 256)
    return Server(port, token.strip(), "/", os.path.join(user.home, "work"), user)


def _text(path: str, user: User, most: int = 65536) -> str:
    """ "" where it cannot be read."""
    try:
        return read(path, most, owner=user.uid)
    except OSError:
        return ""


def _port(value: Any) -> int:
    port = int(value)
    if not 0 < port < 65536:
        raise ValueError("not a port")
    return port


def _key(found: Found) -> str:
    """Kernels of two users never share one, whatever their servers say."""
    return "%d %s" % (found.user.uid, found.id)


def _tabs(user: User) -> List[str]:
    """Paths of the documents in JupyterLab's tabs, editors without a kernel among them."""
    found: List[str] = []
    with contextlib.suppress(OSError), acting_as(user):
        folder = os.path.join(user.home, ".jupyter/lab/workspaces")
        for path in _listed(folder, "", ".jupyterlab-workspace"):
            with contextlib.suppress(ValueError):
                found += [json.loads('"%s"' % name) for name in WORKSPACE.findall(_text(path, user))]
    return [name.split(":", 1)[-1] for name in found[:KERNELS]]


def _listed(folder: str, start: str, end: str) -> List[str]:
    try:
        found = [name for name in names(folder, FILES) if name.startswith(start) and name.endswith(end)]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in found[:50]]


def _kernels(server: Server, end: float) -> List[Found]:
    """end: when it is too late (monotonic). OSError, ValueError: no answer, or none of a Jupyter server."""
    try:
        kernels = _get(server, "api/kernels", end)[:KERNELS]
        sessions = _get(server, "api/sessions", end) if kernels else []
        documents = {
            str(session["kernel"]["id"]): str(session.get("path") or session.get("name"))
            for session in sessions
        }
        return [
            Found(
                shown(str(kernel["id"])),
                documents.get(str(kernel["id"]), str(kernel["id"])[:8]),
                shown(str(kernel.get("execution_state"))),
                shown(str(kernel.get("last_activity"))),
                server.user,
            )
            for kernel in kernels
        ]
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("answers nonsense") from None


def _get(server: Server, path: str, end: float) -> Any:
    """The JSON answer. OSError when it does not come whole in time or is no 200, ValueError for no JSON."""
    request = "GET %s%s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nAuthorization: token %s\r\n\r\n"
    with _connect(server, end) as link:
        link.sendall((request % (server.base, path, server.port, server.token)).encode())
        answer = b""
        while len(answer) < MOST:
            link.settimeout(max(0.01, end - time.monotonic()))
            chunk = link.recv(65536)
            if not chunk:
                break
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError("answers %s" % head.split(b"\r\n")[0].decode("utf-8", "replace"))
    return json.loads(body.decode("utf-8"))


def _connect(server: Server, end: float) -> socket.socket:
    """A connection to a server that is that user's: a token says everything, so no one else may get it."""
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
        raise OSError("nobody listens")
    if owner not in (server.user.uid, 0):
        raise OSError("another user listens there")


def _age(stamp: str, wall: float) -> Optional[float]:
    """Seconds since "2026-01-01T02:03:04.5Z"; None when it is no such time."""
    try:
        return wall - unix_time(stamp)
    except ValueError:
        return None
