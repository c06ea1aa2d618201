"""Saves what a kernel prints after its page was closed: without a page, Jupyter drops it.

An extension of the Jupyter server. It hears what each page runs and what the kernel answers; while the page
that ran a cell is not connected, it writes the cell's outputs into the notebook's file, once a second. A
connected page saves itself. The frontend is JupyterLab's own.
"""

import asyncio
import json
import os
import time
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
import notebook_file
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from outputs import TYPES, Outputs

_EVERY_S = 1.0
_PAUSE = 10  # after a write, in multiples of its duration: a large notebook is written less often
_AGAIN_S = 30.0  # after a failure
_MARGIN_S = 1.0  # a page that saves this long after the last output saves that output, too
# Jupyter sends a page whose connection broke all messages that it missed, up to this number and size: half of
# what iopub_msg_rate_limit and iopub_data_rate_limit let pass at once.
_CAUGHT_UP = 1500
_CAUGHT_UP_BYTES = 1_500_000
# Read by the watcher (watch/read/jupyter.py).
_RECORDED = Path.home() / ".gpu-box" / "jupyter" / "recorded.json"

_recorder: "Recorder | None" = None


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "recorder"}]


def _load_jupyter_server_extension(server: Any) -> None:
    global _recorder
    warnings.filterwarnings("ignore", category=nbformat.warnings.MissingIDFieldWarning)
    _recorder = Recorder(server)
    server.io_loop.add_callback(_recorder.work)


class Connection(ZMQChannelsWebsocketConnection):
    """A page's connection to a kernel; the recorder hears what passes."""

    def connect(self) -> Any:
        _safely("opened", self)
        return super().connect()

    def disconnect(self) -> None:
        super().disconnect()
        _safely("closed", self)

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        _safely("hear", self, incoming_msg)
        super().handle_incoming_message(incoming_msg)


def _safely(what: str, connection: Connection, *more: Any) -> None:
    """A fault of the recorder must not end a page's connection."""
    if _recorder is not None:
        try:
            getattr(_recorder, what)(connection, *more)
        except Exception:
            connection.log.exception("gpu-box: the recorder failed")


@dataclass
class Run:
    """One execution of a cell."""

    page: str  # the session id of the page's connection
    cell: str
    code: str
    begun: bool = False
    count: int | None = None
    outputs: Outputs = field(default_factory=Outputs)
    changes: int = 0
    saved: int = 0  # how many of its changes are in the file
    changed_at: float = 0.0  # Unix time


@dataclass(frozen=True)
class Written:
    """A notebook that the recorder wrote, and as it was before."""

    at: int  # the file's time, ns
    pages: frozenset[str]  # whose cells it wrote
    before: bytes
    before_at: int


class Kernel:
    """What the pages ran in one kernel: the latest execution of each cell."""

    def __init__(self, manager: Any) -> None:
        self.runs: dict[str, Run] = {}  # by the request's message id
        self._manager = manager
        self._session = Session(config=manager.session.config, key=manager.session.key)
        self._into: dict[str, str] = {}  # request -> comm of the Output widget that captures its outputs
        self._widgets: set[str] = set()  # comms of Output widgets
        self.connections: dict[Connection, str] = {}  # their pages
        self._first: dict[str, int] = {}  # cell -> in which order the cells ran for the first time
        self.left: dict[str, float] = {}  # page -> Unix time at which its connection ended
        self._listen()

    def _listen(self) -> None:
        self._ports = list(self._manager.ports)
        self._stream = self._manager.connect_iopub()
        self._stream.on_recv(self._take)

    def follow(self) -> None:
        """A restart may take other ports."""
        if self._ports != list(self._manager.ports):
            self.close()
            self._listen()

    def close(self) -> None:
        if not self._stream.closed():
            self._stream.close()

    def has(self, page: str) -> bool:
        return page in self.connections.values()

    def page_saved(self, run: Run, at: float) -> bool:
        """Whether the save at that time was by the page that ran it, with all outputs."""
        return run.changed_at + _MARGIN_S < at <= self.left.get(run.page, 0.0)

    def request(self, message_id: str, run: Run) -> None:
        self.runs = {key: old for key, old in self.runs.items() if old.cell != run.cell}
        self.runs[message_id] = run
        self._first.setdefault(run.cell, len(self._first))

    def twins_before(self, run: Run) -> int:
        """How many other cells with the same code ran before this one did."""
        return sum(
            each.code == run.code and self._first[each.cell] < self._first[run.cell]
            for each in self.runs.values()
        )

    def _take(self, parts: list[bytes]) -> None:
        _, parts = self._session.feed_identities(parts)
        message = self._session.deserialize(parts, content=False)
        kind = message["header"]["msg_type"]
        request = message["parent_header"].get("msg_id", "")
        run = self.runs.get(request)
        if kind in ("comm_open", "comm_msg"):
            self._note_widget(request, self._session.unpack(message["content"]))
        elif kind == "update_display_data":
            content = self._session.unpack(message["content"])
            for each in self.runs.values():
                if each.outputs.update(content):
                    _changed(each)
        elif run is None:
            return
        elif kind == "execute_input":
            run.begun, run.count = True, self._session.unpack(message["content"]).get("execution_count")
            _changed(run)
        elif kind in TYPES and not (request in self._into and self.has(run.page)):
            run.outputs.take({**message, "content": self._session.unpack(message["content"])})
            _changed(run)

    def _note_widget(self, request: str, content: dict[str, Any]) -> None:
        """An Output widget captures outputs by setting its `msg_id` to the request's; "" ends that."""
        data = content.get("data")
        state = data.get("state") if isinstance(data, dict) else None
        if not isinstance(state, dict):
            return
        comm = content.get("comm_id", "")
        if state.get("_model_name") == "OutputModel":
            self._widgets.add(comm)
        if comm in self._widgets and "msg_id" in state:
            self._into = {key: by for key, by in self._into.items() if by != comm}
            if state["msg_id"]:
                self._into[state["msg_id"]] = comm


def _changed(run: Run) -> None:
    run.changes += 1
    run.changed_at = time.time()


class Recorder:
    def __init__(self, server: Any) -> None:
        self._server = server
        self._log = server.log
        self._kernels: dict[str, Kernel] = {}
        self._written: dict[str, Written] = {}  # by path
        self._next: dict[str, float] = {}  # path -> when it may be written again (monotonic)

    def opened(self, connection: Connection) -> None:
        kernel = self._kernels.get(connection.kernel_id)
        if kernel is None:
            kernel = self._kernels[connection.kernel_id] = Kernel(connection.kernel_manager)
        kernel.connections[connection] = connection.session_id
        if _catches_up(connection):
            self._give_back(kernel, connection.session_id)

    def closed(self, connection: Connection) -> None:
        kernel = self._kernels.get(connection.kernel_id)
        if kernel is not None and kernel.connections.pop(connection, None):
            kernel.left[connection.session_id] = time.time()

    def hear(self, connection: Connection, incoming: Any) -> None:
        """A page's message to the kernel."""
        if b"execute_request" not in (incoming if isinstance(incoming, bytes) else incoming.encode()):
            return
        if connection.subprotocol == "v1.kernel.websocket.jupyter.org":
            channel, parts = deserialize_msg_from_ws_v1(incoming)
            header, _, metadata, content = (json.loads(part) for part in parts[:4])
        elif isinstance(incoming, bytes):
            return  # the legacy protocol with buffers, which no request to execute has
        else:
            message = json.loads(incoming)
            channel, header = message.get("channel"), message["header"]
            metadata, content = message["metadata"], message["content"]
        kernel = self._kernels.get(connection.kernel_id)
        cell = metadata.get("cellId")  # JupyterLab names the cell; consoles have none
        if kernel and cell and channel == "shell" and header["msg_type"] == "execute_request":
            kernel.request(header["msg_id"], Run(connection.session_id, str(cell), content["code"]))

    def _give_back(self, kernel: Kernel, page: str) -> None:
        """Restore the file for a page that goes on by itself, or its next save would find another file."""
        for path, written in list(self._written.items()):
            if written.pages == {page} and os.stat(path).st_mtime_ns == written.at:
                notebook_file.write(Path(path), written.before)
                os.utime(path, ns=(written.before_at, written.before_at))
                del self._written[path]
                for run in kernel.runs.values():
                    run.saved = 0 if run.page == page else run.saved

    async def work(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self._save()
            except Exception:
                self._log.exception("gpu-box: the recorder failed")

    async def _save(self) -> None:
        documents: dict[str, list[str]] | None = None
        for key, kernel in list(self._kernels.items()):
            due = [run for run in kernel.runs.values() if run.begun and run.saved < run.changes]
            due = [run for run in due if not kernel.has(run.page)]
            if due:
                documents = documents if documents is not None else await self._documents()
                for name in documents.get(key, []):
                    await self._try_to_save_into(name, kernel, due)
            if key not in self._server.kernel_manager:
                kernel.close()
                del self._kernels[key]
            else:
                kernel.follow()

    async def _documents(self) -> dict[str, list[str]]:
        """Names of the notebooks of each kernel, relative to Jupyter's folder."""
        found: dict[str, list[str]] = {}
        for session in await self._server.session_manager.list_sessions():
            if session["type"] == "notebook":
                found.setdefault(session["kernel"]["id"], []).append(session["path"])
        return found

    async def _try_to_save_into(self, name: str, kernel: Kernel, due: list[Run]) -> None:
        path = os.path.join(self._server.contents_manager.root_dir, name)
        began = time.monotonic()
        if began < self._next.get(path, 0.0):
            return
        try:
            await self._save_into(path, kernel, due)
            now = time.monotonic()
            self._next[path] = now + _PAUSE * (now - began)
        except (OSError, ValueError) as problem:  # moved away, no notebook, a full disk
            self._log.warning("gpu-box: %s is not saved: %s", path, problem)
            self._next[path] = began + _AGAIN_S

    async def _save_into(self, path: str, kernel: Kernel, due: list[Run]) -> None:
        before = os.stat(path)
        content, notebook = await asyncio.to_thread(_read, path)
        changes = [run.changes for run in due]
        cells = [
            (run, _cell(notebook, run, kernel)) for run in due if not kernel.page_saved(run, before.st_mtime)
        ]
        notary = self._server.contents_manager.notary
        trusted = notary.check_signature(notebook)
        pages = {run.page for run, cell in cells if cell is not None and _put(run, cell)}
        if pages:
            at = await asyncio.to_thread(_write, path, notebook, before)
            if at is None:
                return  # a page saved meanwhile: once more, with its version
            last = self._written.get(path)
            if last is None or last.at != before.st_mtime_ns:
                last = Written(0, frozenset(), content, before.st_mtime_ns)
            self._written[path] = replace(last, at=at, pages=last.pages | pages)
            # As when a page saves: widgets and HTML show only in a notebook whose outputs are all its user's.
            for _, cell in cells:
                if cell is not None:
                    cell.metadata.trusted = True
            if notary.check_cells(notebook) or trusted:
                notary.sign(notebook)
        for run, saved in zip(due, changes, strict=True):
            run.saved = saved


def _catches_up(connection: Connection) -> bool:
    """Whether the page was connected before, and Jupyter will send it all that it missed.

    Jupyter has no public name for this; tests/browser/test_recorder.py fails if an upgrade changes it.
    """
    kept = connection.multi_kernel_manager._kernel_buffers.get(connection.kernel_id)
    if kept is None or kept["session_key"] != connection.session_key or len(kept["buffer"]) > _CAUGHT_UP:
        return False
    return sum(len(part) for _, parts in kept["buffer"] for part in parts) <= _CAUGHT_UP_BYTES


def _read(path: str) -> tuple[bytes, Any]:
    content = Path(path).read_bytes()
    found = nbformat.reads(content.decode("utf-8"), as_version=nbformat.NO_CONVERT)
    if found.get("nbformat") != 4:
        raise ValueError("a notebook of an old format")
    return content, found


def _cell(notebook: Any, run: Run, kernel: Kernel) -> Any:
    """The cell that ran, or None if it is not in the file."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        if cell.get("id") == run.cell:
            return cell
    # Before format 4.5 cells have no ids until JupyterLab saves them. Twins: in the order of "Run All".
    same = [cell for cell in code if "id" not in cell and cell.source == run.code]
    return same[min(kernel.twins_before(run), len(same) - 1)] if same else None


def _put(run: Run, cell: Any) -> bool:
    """Returns whether that changes the cell."""
    outputs = [nbformat.from_dict(output) for output in run.outputs.as_saved()]
    if cell.outputs == outputs and cell.execution_count == run.count:
        return False
    cell.outputs, cell.execution_count = outputs, run.count
    return True


def _write(path: str, notebook: Any, before: os.stat_result) -> int | None:
    """Returns the file's new time in ns; None if it is no longer that of `before`."""
    at: int | None = None

    def at_last(written: os.stat_result) -> bool:
        nonlocal at
        now = os.stat(path)
        if (now.st_mtime_ns, now.st_size, now.st_ino) != (before.st_mtime_ns, before.st_size, before.st_ino):
            return False
        at = written.st_mtime_ns
        _note(path, before.st_mtime_ns, at)
        return True

    text = nbformat.writes(notebook) + "\n"
    return at if notebook_file.write(Path(path), text.encode(), at_last=at_last) else None


def _note(path: str, before: int, written: int) -> None:
    """Note for the watcher that this save is no use of the box: {path: (its time, a person's last)}."""
    try:
        known = json.loads(_RECORDED.read_text())
        known = {name: times for name, times in known.items() if os.path.exists(name)}
    except (OSError, ValueError, AttributeError):
        known = {}
    mine, person = known.pop(path, (0, 0))
    known[path] = [written, person if mine == before else before]
    notebook_file.write(_RECORDED, json.dumps(dict(list(known.items())[-100:])).encode())
