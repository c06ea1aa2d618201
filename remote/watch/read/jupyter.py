"""Jupyter: its kernels by the REST API, what their processes use, and open documents by their saves.

A kernel's own output is no use of it: while it is busy it counts by its processes alone, so a cell that
sleeps, polls and prints is stuck. A kernel was used when its state changes, or its last activity while idle.
"""

import json
import os
import re
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple, Union

from ..sample import Jupyter, Kernel, Unknown, Used
from .change import Changes
from .moment import unix_time
from .people import User
from .processes import Processes, time_since_boot
from .text import read

MOST = 1 << 20  # bytes of an answer
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
    home: str


class Kernels:
    """Every Jupyter server of these users. `read` asks the servers at most every `slow` seconds."""

    def __init__(self, processes: Processes, *, slow: float, timeout: float) -> None:
        self._processes = processes
        self._slow, self._timeout = slow, timeout
        self._changes = Changes()
        self._asked = float("-inf")
        self._answers: List[Tuple[Server, Dict[str, Any]]] = []
        self._open: Dict[str, str] = {}  # documents: path -> name
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
        kernels = [self._kernel(answer, gpu_pids, mono, wall) for _, answer in self._answers]
        documents = [self._document(path, name, mono, wall) for path, name in sorted(self._open.items())]
        self._changes.keep_only({answer["id"] for _, answer in self._answers} | set(self._open))
        return Jupyter(tuple(kernels), tuple(documents))

    def _ask(self, users: List[User], wall: float) -> None:
        self._answers, self._open, self._problem = [], {}, ""
        for server in servers(users, boot=wall - time_since_boot()):
            try:
                kernels = _get(server, "api/kernels", self._timeout)
                sessions = _get(server, "api/sessions", self._timeout) if kernels else []
            except (OSError, ValueError) as error:
                self._problem = "Jupyter on port %d: %s" % (server.port, error)
                return
            names = {
                session["kernel"]["id"]: str(session.get("path") or session.get("name"))
                for session in sessions
            }
            for kernel in kernels:
                kernel["document"] = names.get(kernel["id"], kernel["id"][:8])
                self._answers.append((server, kernel))
            for name in {name for name in names.values()} | set(_tabs(server.home)):
                if WRITTEN_BY_PEOPLE.search(name):
                    self._open[os.path.join(server.root, name)] = name
        self._find_pids()

    def _find_pids(self) -> None:
        """A kernel's process has its connection file, kernel-ID.json, among its arguments."""
        wanted = {kernel["id"] for _, kernel in self._answers}
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

    def _kernel(self, answer: Dict[str, Any], gpu_pids: Set[int], mono: float, wall: float) -> Kernel:
        name, state, used = answer["id"], str(answer.get("execution_state")), str(answer.get("last_activity"))
        stamp = (state, used if state == "idle" else "")
        quiet = self._changes.quiet(name, stamp, mono=mono, age=_age(used, wall))
        use = self._processes.tree(self._pids.get(name, -1))
        return Kernel(str(answer["document"]), state, quiet, use.cores, use.bps, bool(use.pids & gpu_pids))

    def _document(self, path: str, name: str, mono: float, wall: float) -> Used:
        try:
            status = os.stat(path)
        except OSError:
            return Used(name, None)
        quiet = self._changes.quiet(path, status.st_mtime_ns, mono=mono, age=wall - status.st_mtime)
        return Used(name, quiet)


def servers(users: List[User], *, boot: float) -> List[Server]:
    """Ours (~/.gpu-box/jupyter) and any that a user started (jpserver-PID.json), this boot's only."""
    found: Dict[int, Server] = {}
    for user in users:
        runtime = os.path.join(user.home, ".local/share/jupyter/runtime")
        for path in _listed(runtime, "jpserver-", ".json"):
            try:
                info = json.loads(read(path))
                if os.path.exists("/proc/%d" % info["pid"]):
                    root = info.get("root_dir") or user.home
                    server = Server(info["port"], info["token"], info.get("base_url") or "/", root, user.home)
                    found[server.port] = server
            except (OSError, ValueError, KeyError, TypeError):
                continue  # being written, or not a server's
        ours = os.path.join(user.home, ".gpu-box", "jupyter")
        try:
            # Written before this boot: that server died with the machine.
            if os.stat(os.path.join(ours, "port")).st_mtime >= boot - 60:
                port, token = (
                    int(read(os.path.join(ours, "port"), 16)),
                    read(os.path.join(ours, "token"), 256),
                )
                root = os.path.join(user.home, "work")
                found.setdefault(port, Server(port, token.strip(), "/", root, user.home))
        except (OSError, ValueError):
            continue
    return list(found.values())


def _tabs(home: str) -> List[str]:
    """Paths of the documents in JupyterLab's tabs, editors without a kernel among them."""
    names: List[str] = []
    for path in _listed(os.path.join(home, ".jupyter/lab/workspaces"), "", ".jupyterlab-workspace"):
        try:
            names += [json.loads('"%s"' % name) for name in WORKSPACE.findall(read(path))]
        except (OSError, ValueError):
            continue
    return [name.split(":", 1)[-1] for name in names]


def _listed(folder: str, start: str, end: str) -> List[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.startswith(start) and name.endswith(end)][
        :50
    ]


def _get(server: Server, path: str, seconds: float) -> Any:
    """The JSON answer. OSError when it does not come whole in time or is no 200, ValueError for no JSON."""
    deadline = time.monotonic() + seconds
    request = "GET %s%s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nAuthorization: token %s\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), seconds) as link:
        link.sendall((request % (server.base, path, server.port, server.token)).encode())
        answer = b""
        while len(answer) < MOST:
            link.settimeout(max(0.01, deadline - time.monotonic()))
            chunk = link.recv(65536)
            if not chunk:
                break
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError("answers %s" % head.split(b"\r\n")[0].decode("utf-8", "replace"))
    return json.loads(body.decode("utf-8"))


def _age(stamp: str, wall: float) -> Optional[float]:
    """Seconds since "2026-01-01T02:03:04.5Z"; None when it is no such time."""
    try:
        return wall - unix_time(stamp)
    except ValueError:
        return None
