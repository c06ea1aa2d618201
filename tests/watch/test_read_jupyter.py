"""The Jupyter reader against a real Jupyter server with a real kernel."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from watch.judge import State, verdict
from watch.policy import Policy
from watch.read.jupyter import Kernels
from watch.read.jupyter_servers import Servers
from watch.read.people import Kind, User
from watch.read.processes import Processes, time_since_boot
from watch.sample import Jupyter, Rate, Sample
from watch.signals import Means, read_signals

TOKEN = "a-token-of-the-test"
MEANS = Means(Rate(0.0, ""), Rate(0.0, ""), Rate(0.0, ""), {})
MINE = "GPU_BOX_TEST_JUPYTER=1"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """A Python with jupyter_server and a kernel, installed by uv."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("no uv to install a Jupyter server with")
    folder = tmp_path_factory.mktemp("jupyter") / "venv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True, timeout=120)
    python = folder / "bin" / "python"
    install = [uv, "pip", "install", "-q", "--python", python, "jupyter_server", "ipykernel"]
    if subprocess.run(install, timeout=300, capture_output=True).returncode:
        pytest.skip("a Jupyter server cannot be installed here")
    return python


def _sample(jupyter: Jupyter) -> Sample:
    return Sample(boot="a", mono=1.0, wall=1.0, up=1.0, over=1.0, jupyter=jupyter)


class Server:
    def __init__(self, home: Path, process: subprocess.Popen, port: int) -> None:
        self.home, self.process, self.port = home, process, port
        self.processes = Processes(_classify)
        self.reader = Kernels(self.processes)
        self.timeout = 5.0
        self.user = User("me", os.getuid(), str(home))

    def ask(self, path: str, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def read(self):
        self.processes.look()
        time.sleep(0.5)
        self.processes.look()
        return self.reader.read(
            [self.user], set(), mono=time.monotonic(), wall=time.time(), slow=0.0, timeout=self.timeout
        )


def _classify(pid: int, uid: int, name: str) -> Kind:
    with contextlib.suppress(OSError):
        if MINE.encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return Kind.WORK
    return Kind.NOBODY


@pytest.fixture
def server(program, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / ".gpu-box" / "jupyter").mkdir(parents=True)
    with _serve(program, tmp_path, 20_000 + os.getpid() % 10_000) as running:
        (tmp_path / ".gpu-box/jupyter/port").write_text(f"{running.port}\n")
        (tmp_path / ".gpu-box/jupyter/token").write_text(f"{TOKEN}\n")
        yield running


@contextlib.contextmanager
def _serve(program: Path, home: Path, port: int, *options: str, token: str = TOKEN):
    environment = {**os.environ, "HOME": str(home), "JUPYTER_TOKEN": token, "JUPYTER_PLATFORM_DIRS": "0"}
    environment.update([MINE.split("=")])
    if not token:
        del environment["JUPYTER_TOKEN"]
    argv = [program, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={port}"]
    argv += ["--port-retries=0", f"--ServerApp.root_dir={home / 'work'}", *options]
    log = open(home / f"log-{port}", "wb")  # noqa: SIM115 - the server's, for as long as it runs
    process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, start_new_session=True)
    running = Server(home, process, port)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                (home / f".local/share/jupyter/runtime/jpserver-{process.pid}.json").stat()
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        else:
            pytest.fail((home / f"log-{port}").read_text())
        yield running
    finally:
        for pid in {process.pid, *_marked(home)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait(10)
        log.close()


def _with_password(program: Path) -> str:
    code = "from jupyter_server.auth import passwd; print(passwd('secret', 'sha1'))"
    hashed = subprocess.run([program, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return f"--PasswordIdentityProvider.hashed_password={hashed}"


def _marked(home: Path) -> list[int]:
    """Kernels have sessions of their own; they are known by this test's HOME in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"HOME={home}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def _execute(program: Path, server: Server, kernel_id: str, code: str) -> None:
    """Run a cell as a notebook's tab does, over the kernel's web socket, and close the tab."""
    content = {"code": code, "silent": False, "allow_stdin": True, "user_expressions": {}}
    _send(program, server, kernel_id, "shell", "execute_request", content)


def _send(program: Path, server: Server, kernel_id: str, channel: str, kind: str, content: dict) -> None:
    client = """
import asyncio, json, sys, uuid
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

async def go(url, token, channel, kind, content):
    headers = {"Authorization": "token " + token}
    link = await websocket_connect(HTTPRequest(url, headers=headers, request_timeout=40))
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "date": ""}
    header.update(session=uuid.uuid4().hex, version="5.3")
    message = {"channel": channel, "header": header, "parent_header": {}, "metadata": {}}
    await link.write_message(json.dumps({**message, "content": json.loads(content)}))
    await asyncio.sleep(1)
    link.close()

asyncio.run(go(*sys.argv[1:]))
"""
    url = f"ws://127.0.0.1:{server.port}/api/kernels/{kernel_id}/channels"
    argv = [program, "-c", client, url, TOKEN, channel, kind, json.dumps(content)]
    subprocess.run(argv, check=True, timeout=60)


def _until(server: Server, wanted, seconds: float = 20.0) -> Jupyter:
    deadline = time.monotonic() + seconds
    while True:
        seen = server.read()
        if isinstance(seen, Jupyter) and wanted(seen):
            return seen
        assert time.monotonic() < deadline, seen


def test_a_kernel_is_followed_from_computing_to_idle_to_stuck(program, server):
    session = {"path": "lesson1.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    kernel_id = server.ask("sessions", session)["kernel"]["id"]
    assert _until(server, lambda seen: seen.kernels).kernels[0].name == "lesson1.ipynb"

    _execute(program, server, kernel_id, "while True: pass")
    computing = _until(server, lambda seen: seen.kernels[0].state == "busy" and seen.kernels[0].cores > 0.1)
    assert computing.kernels[0].name == "lesson1.ipynb"

    server.ask(f"kernels/{kernel_id}/interrupt", {})
    used = _until(server, lambda seen: seen.kernels[0].state == "idle")
    assert used.kernels[0].quiet < 5

    _execute(program, server, kernel_id, "import time\nwhile True: time.sleep(0.3); print('waiting')")
    stuck = _until(server, lambda seen: seen.kernels[0].state == "busy" and (seen.kernels[0].quiet or 0) > 2)
    assert stuck.kernels[0].cores < 0.05, "it only sleeps and prints"


def test_saving_an_open_document_is_seen_and_an_open_tab_is_not(server):
    document = server.home / "work" / "notes.ipynb"
    document.write_text("{}")
    os.utime(document, (time.time() - 900, time.time() - 900))
    session = {"path": "notes.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    server.ask("sessions", session)
    seen = _until(server, lambda seen: seen.documents)
    assert seen.documents[0].quiet > 800
    cell = {"cell_type": "code", "source": ["a = 1"], "execution_count": None, "outputs": []}
    document.write_text(json.dumps({"cells": [cell]}))
    assert server.read().documents[0].quiet < 2


def test_a_notebook_saved_for_its_output_alone_is_not_used_and_a_run_cell_is(server):
    """As the autosave of a forgotten tab does, and jupyter-collaboration on the server."""
    document = server.home / "work" / "lesson1.ipynb"
    cell = {"cell_type": "code", "source": ["go()"], "execution_count": 1, "outputs": []}
    document.write_text(json.dumps({"cells": [cell]}))
    os.utime(document, (time.time() - 900, time.time() - 900))
    server.ask("sessions", NOTEBOOK)
    assert _until(server, lambda seen: seen.documents).documents[0].quiet > 800
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["printed by a thread"]}]
    document.write_text(json.dumps({"cells": [cell]}))
    assert server.read().documents[0].quiet > 800
    document.write_text('{"cells": [')
    assert server.read().documents[0].quiet > 800, "it is being written"
    cell["execution_count"] = 2
    document.write_text(json.dumps({"cells": [cell]}))
    assert server.read().documents[0].quiet < 2


def test_a_kernel_s_messages_are_no_use(program, server):
    """A thread that prints, a comm message, and a resource panel that asks: all move its last activity."""
    kernel_id = server.ask("sessions", NOTEBOOK)["kernel"]["id"]
    code = """import threading, time
def go():
    while True:
        time.sleep(0.3); print("epoch")
threading.Thread(target=go).start()"""
    _execute(program, server, kernel_id, code)
    _until(server, lambda seen: seen.kernels[0].state == "idle", 60)
    quiet = server.read().kernels[0].quiet
    before = server.ask("kernels")[0]["last_activity"]
    _send(program, server, kernel_id, "shell", "comm_msg", {"comm_id": "1", "data": {}})
    _send(program, server, kernel_id, "control", "usage_request", {})
    assert server.ask("kernels")[0]["last_activity"] > before
    assert server.read().kernels[0].quiet >= quiet + 2


NOTEBOOK = {"path": "lesson1.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}


def test_a_server_with_a_password_hides_no_kernel_of_another(program, server, free_port):
    server.ask("sessions", NOTEBOOK)
    with _serve(program, server.home, free_port, _with_password(program), token=""):
        seen = _until(server, lambda seen: seen.kernels)
        assert seen.kernels[0].name == "lesson1.ipynb"
        assert seen.silent == (), "it has no kernels to hide"


def test_a_save_in_a_server_with_a_password_is_use(program, tmp_path, free_port):
    (tmp_path / "work").mkdir()
    document = tmp_path / "work" / "train.py"
    document.write_text("a = 1")
    os.utime(document, (time.time() - 900, time.time() - 900))
    workspaces = tmp_path / ".jupyter/lab/workspaces"
    workspaces.mkdir(parents=True)
    tab = {"data": {"editor:train.py": {"data": {"path": "train.py", "factory": "Editor"}}}}
    (workspaces / "default-37a8.jupyterlab-workspace").write_text(json.dumps(tab))
    with _serve(program, tmp_path, free_port, _with_password(program), token="") as protected:
        assert protected.read().documents[0].quiet > 800
        document.write_text("a = 2")
        assert protected.read().documents[0].quiet < 2


def test_a_hung_server_holds_only_when_it_has_kernels_and_hides_no_other_s(program, server, free_port):
    server.ask("sessions", NOTEBOOK)
    with _serve(program, server.home, free_port) as hung:
        server.timeout = 2.0
        hung.process.send_signal(signal.SIGSTOP)
        assert _until(server, lambda seen: seen.kernels).silent == ()
        hung.process.send_signal(signal.SIGCONT)
        hung.ask("sessions", NOTEBOOK)
        hung.process.send_signal(signal.SIGSTOP)
        seen = server.read()
        assert len(seen.kernels) == 1 and str(free_port) in seen.silent[0]
        assert read_signals(_sample(seen), MEANS, Policy())["jupyter"].held


def test_the_file_of_a_dead_server_whose_pid_is_another_program_s_hides_nothing(server, tmp_path):
    server.ask("sessions", NOTEBOOK)
    other = subprocess.Popen(["sleep", "60"])
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        info = {"pid": other.pid, "port": listener.getsockname()[1], "token": "x", "base_url": "/"}
        file = server.home / f".local/share/jupyter/runtime/jpserver-{other.pid}.json"
        file.write_text(json.dumps(info))
        seen = _until(server, lambda seen: seen.kernels)
        assert seen.kernels[0].name == "lesson1.ipynb" and seen.silent == ()
    finally:
        other.kill()
        other.wait(10)
        listener.close()


def test_a_file_older_than_the_process_with_its_pid_is_of_a_dead_server(server):
    (file,) = (server.home / ".local/share/jupyter/runtime").glob("jpserver-*[0-9].json")
    (server.home / ".gpu-box/jupyter/port").unlink()
    boot = time.time() - time_since_boot()
    assert [found.pid for found in Servers().of(server.user, boot=boot)] == [server.process.pid]
    os.utime(file, (time.time() - 3600, time.time() - 3600))
    assert Servers().of(server.user, boot=boot) == []


def test_a_server_that_died_and_one_of_another_boot_are_none(server):
    assert isinstance(server.read(), Jupyter | None)
    server.process.kill()
    server.process.wait(10)
    assert server.read() is None
    long_ago = time.time() - 10 * 86_400 * 365
    os.utime(server.home / ".gpu-box/jupyter/port", (long_ago, long_ago))
    assert Servers().of(server.user, boot=time.time() - 60) == []


def test_a_server_that_refuses_us_may_hide_kernels(tmp_path):
    (tmp_path / ".gpu-box" / "jupyter").mkdir(parents=True)
    listener = socket.create_server(("127.0.0.1", 0))
    (tmp_path / ".gpu-box/jupyter/port").write_text(str(listener.getsockname()[1]))
    (tmp_path / ".gpu-box/jupyter/token").write_text("x")

    def answer() -> None:
        link, _ = listener.accept()
        link.recv(4096)
        link.sendall(b"HTTP/1.0 403 Forbidden\r\n\r\n")
        link.close()

    thread = threading.Thread(target=answer)
    thread.start()
    reader = Kernels(Processes(_classify))
    user = User("me", os.getuid(), str(tmp_path))
    seen = reader.read([user], set(), mono=time.monotonic(), wall=time.time(), slow=0.0, timeout=2.0)
    thread.join()
    listener.close()
    assert "403" in seen.silent[0]


def test_no_server_at_all_is_quiet_not_unknown(tmp_path):
    reader = Kernels(Processes(_classify))
    seen = reader.read(
        [User("me", os.getuid(), str(tmp_path))], set(), mono=1.0, wall=time.time(), slow=0.0, timeout=2.0
    )
    assert seen is None
    assert not verdict(State(), Policy()).stop
