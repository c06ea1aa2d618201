"""Jupyter: kernels from the REST API, the resources of their processes, and saves of open documents.

A start or a change of state counts as use of a kernel. Its "last activity" does not: output of a thread, comm
messages and a resource panel's polling change it (jupyter_server's untracked_message_types). For a busy
kernel only the resources of its processes count: a cell that sleeps, polls and prints is stuck.
"""

import contextlib
import json
import os
import re
import time
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from ..sample import Jupyter, Kernel, Used
from .as_user import acting_as
from .change import Changes
from .jupyter_servers import Absent, Server, Servers, ask, listed, text
from .notebook import by_a_person, edits
from .people import User
from .processes import Processes, time_since_boot
from .text import read, shown

ALTOGETHER = 3  # time limit for all users, in multiples of one user's
WORKSPACES = 50  # of one user
KERNELS = 200  # of one server
RECORDED = ".gpu-box/jupyter/recorded.json"
KERNEL_ID = re.compile(r"kernel-(?:v\d+)?([0-9a-f-]{36})")
WRITTEN_BY_PEOPLE = re.compile(
    r"\.(ipynb|py|md|rst|tex|r|jl|c|cc|cpp|cu|h|sh|ya?ml|toml|json|html|css|js|ts)$", re.I
)
WORKSPACE = re.compile(r'"path": ?"((?:[^"\\]|\\.)*)"')  # an open tab in a *.jupyterlab-workspace file


class Found(NamedTuple):
    """A kernel in a server's answer."""

    id: str
    document: str
    state: str
    user: User


class Kernels:
    """The kernels and documents of all users' Jupyter servers."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._changes = Changes()
        self._asked = float("-inf")
        self._answers: List[Found] = []
        self._open: Dict[str, Tuple[str, User]] = {}  # documents: path -> (name, owner)
        self._servers = Servers()
        self._silent: List[str] = []  # servers that do not answer
        self._edits: Dict[str, Tuple[int, int]] = {}  # notebooks: path -> (mtime in ns, checksum of edits)
        self._pids: Dict[str, int] = {}  # kernel id -> pid

    def read(
        self, users: List[User], gpu_pids: Set[int], *, mono: float, wall: float, slow: float, timeout: float
    ) -> Optional[Jupyter]:
        """None if no server of this boot runs and no document is open.

        slow: s between two requests to the servers; timeout: s for all servers of one user.
        """
        if mono - self._asked >= slow:
            self._asked = mono
            self._ask(users, wall, timeout)
        if not self._answers and not self._open and not self._silent:
            return None
        kernels = [self._kernel(found, gpu_pids, mono) for found in self._answers]
        documents = [
            self._document(path, name, user, mono, wall) for path, (name, user) in sorted(self._open.items())
        ]
        self._edits = {path: known for path, known in self._edits.items() if path in self._open}
        self._changes.keep_only({_key(found) for found in self._answers} | set(self._open))
        return Jupyter(tuple(kernels), tuple(documents), tuple(self._silent))

    def _ask(self, users: List[User], wall: float, timeout: float) -> None:
        self._answers, self._open, self._silent = [], {}, []
        boot = wall - time_since_boot()
        latest = time.monotonic() + ALTOGETHER * timeout
        for user in users:
            end = min(latest, time.monotonic() + timeout)
            servers = self._servers.of(user, boot=boot)
            for number, server in enumerate(servers):
                now = time.monotonic()
                found = self._ask_one(server, now + max(0.0, end - now) / (len(servers) - number))
                if found is not None:
                    self._answers += found
                    self._note_documents(server, {one.document for one in found} | set(_tabs(user)))
        self._find_pids()

    def _ask_one(self, server: Server, end: float) -> Optional[List[Found]]:
        """The server's kernels; None without a server."""
        try:
            return _kernels(server, end)
        except Absent:
            return None
        except (OSError, ValueError) as error:
            if self._may_run_kernels(server):
                self._silent.append(shown("Jupyter on port %d: %s" % (server.port, error)))
            return []

    def _may_run_kernels(self, server: Server) -> bool:
        """A kernel is a child of its server (jupyter_client's LocalProvisioner)."""
        if server.pid is None:
            return True
        return any(_kernel_id(pid) for pid in self._processes.tree(server.pid).pids)

    def _note_documents(self, server: Server, names: Set[str]) -> None:
        for name in names:
            if WRITTEN_BY_PEOPLE.search(name):
                self._open[os.path.join(server.root, name)] = (name, server.user)

    def _find_pids(self) -> None:
        """A kernel's process has its connection file, kernel-ID.json, among its arguments."""
        wanted = {found.id for found in self._answers}
        self._pids = {name: pid for name, pid in self._pids.items() if name in wanted}
        if wanted <= set(self._pids) and all(self._processes.start(pid) for pid in self._pids.values()):
            return
        for pid in self._processes.people():
            found = _kernel_id(pid)
            if found in wanted:
                self._pids[found] = pid

    def _kernel(self, found: Found, gpu_pids: Set[int], mono: float) -> Kernel:
        pid = self._pids.get(found.id, -1)
        start = self._processes.start(pid)
        age = None if start is None else time_since_boot() - start
        quiet = self._changes.quiet(_key(found), (found.state, pid, start), mono=mono, age=age)
        use = self._processes.tree(pid)
        on_gpu = bool(use.pids & gpu_pids)
        return Kernel(shown(found.document), found.state, quiet, use.cores, use.bps, on_gpu)

    def _document(self, path: str, name: str, user: User, mono: float, wall: float) -> Used:
        try:
            with acting_as(user):
                saved = os.stat(path).st_mtime_ns
                saved = by_a_person(path, saved, text(os.path.join(user.home, RECORDED), user))
                stamp = self._stamp(path, saved)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return Used(shown(name), None)
        quiet = self._changes.quiet(path, stamp, mono=mono, age=wall - saved / 1e9)
        return Used(shown(name), quiet)

    def _stamp(self, path: str, written: int) -> int:
        """A value that changes when a person saves or runs something, but not with a notebook's output."""
        if not path.endswith(".ipynb"):
            return written
        known = self._edits.get(path)
        if known is None or known[0] != written:
            found = known[1] if known else 0
            with contextlib.suppress(OSError, ValueError):  # half written or too large
                found = edits(path)
            known = self._edits[path] = (written, found)
        return known[1]


def _kernel_id(pid: int) -> str:
    """The kernel id in the process's arguments, or "" if it is no kernel."""
    try:
        found = KERNEL_ID.search(read("/proc/%d/cmdline" % pid))
    except OSError:
        return ""
    return found.group(1) if found else ""


def _key(found: Found) -> str:
    """A key that includes the user, because servers can report equal ids."""
    return "%d %s" % (found.user.uid, found.id)


def _tabs(user: User) -> List[str]:
    """Paths of the documents in JupyterLab's tabs, including editors without a kernel."""
    found: List[str] = []
    with contextlib.suppress(OSError), acting_as(user):
        folder = os.path.join(user.home, ".jupyter/lab/workspaces")
        for path in listed(folder, "", ".jupyterlab-workspace")[:WORKSPACES]:
            with contextlib.suppress(ValueError):
                found += [json.loads('"%s"' % name) for name in WORKSPACE.findall(text(path, user))]
    return [name.split(":", 1)[-1] for name in found[:KERNELS]]


def _kernels(server: Server, end: float) -> List[Found]:
    """Ask a server for its kernels until `end` (monotonic).

    Raises OSError without an answer, ValueError for an invalid one.
    """
    try:
        kernels = ask(server, "api/kernels", end)[:KERNELS]
        sessions = ask(server, "api/sessions", end) if kernels else []
        documents = {
            str(session["kernel"]["id"]): str(session.get("path") or session.get("name"))
            for session in sessions
        }
        return [
            Found(
                shown(str(kernel["id"])),
                documents.get(str(kernel["id"]), str(kernel["id"])[:8]),
                shown(str(kernel.get("execution_state"))),
                server.user,
            )
            for kernel in kernels
        ]
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("the answer is not Jupyter's") from None
