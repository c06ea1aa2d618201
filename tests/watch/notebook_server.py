"""A real Jupyter server with a real kernel, and the watcher's reader for it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from watch.read.jupyter import Kernels
from watch.read.people import Kind, User
from watch.read.processes import Processes
from watch.sample import Jupyter

TOKEN = "a-token-of-the-test"
NOTEBOOK = {"path": "lesson1.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
MINE = "GPU_BOX_TEST_JUPYTER=1"


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    """A Python with jupyter_server and a kernel, installed by uv once for all workers."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("no uv to install a Jupyter server with")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "jupyter"
    python, installed = folder / "bin" / "python", folder / "installed"
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not installed.exists():
            subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True, timeout=300)
            install = [uv, "pip", "install", "-q", "--python", python, "jupyter_server", "ipykernel"]
            if subprocess.run(install, timeout=300, capture_output=True).returncode:
                shutil.rmtree(folder)
                pytest.skip("a Jupyter server cannot be installed here")
            installed.touch()
    return python


class Server:
    def __init__(self, home: Path, process: subprocess.Popen, port: int) -> None:
        self.home, self.process, self.port = home, process, port
        self.processes = Processes(classify_marked)
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


def classify_marked(pid: int, uid: int, name: str) -> Kind:
    with contextlib.suppress(OSError):
        if MINE.encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return Kind.WORK
    return Kind.SYSTEM


@pytest.fixture
def server(program, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / ".gpu-box" / "jupyter").mkdir(parents=True)
    with serve(program, tmp_path, 20_000 + os.getpid() % 10_000) as running:
        (tmp_path / ".gpu-box/jupyter/port").write_text(f"{running.port}\n")
        (tmp_path / ".gpu-box/jupyter/token").write_text(f"{TOKEN}\n")
        yield running


@contextlib.contextmanager
def serve(program: Path, home: Path, port: int, *options: str, token: str = TOKEN):
    environment = {**os.environ, "HOME": str(home), "JUPYTER_TOKEN": token, "JUPYTER_PLATFORM_DIRS": "0"}
    environment.update([MINE.split("=")])
    if not token:
        del environment["JUPYTER_TOKEN"]
    argv = [program, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={port}"]
    argv += ["--port-retries=0", f"--ServerApp.root_dir={home / 'work'}", *options]
    log = open(home / f"log-{port}", "wb")  # noqa: SIM115 - the server writes to it
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
        process.wait(60)
        log.close()


def with_password(program: Path) -> str:
    code = "from jupyter_server.auth import passwd; print(passwd('secret', 'sha1'))"
    hashed = subprocess.run([program, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return f"--PasswordIdentityProvider.hashed_password={hashed}"


def _marked(home: Path) -> list[int]:
    """Kernels start their own sessions, so recognise them by this test's HOME in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"HOME={home}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def execute(program: Path, server: Server, kernel_id: str, code: str) -> None:
    """Run a cell over the kernel's web socket, as a notebook's tab does, and close it."""
    content = {"code": code, "silent": False, "allow_stdin": True, "user_expressions": {}}
    send(program, server, kernel_id, "shell", "execute_request", content)


def send(program: Path, server: Server, kernel_id: str, channel: str, kind: str, content: dict) -> None:
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


def until_seen(server: Server, wanted, seconds: float = 60.0) -> Jupyter:
    deadline = time.monotonic() + seconds
    while True:
        seen = server.read()
        if isinstance(seen, Jupyter) and wanted(seen):
            return seen
        assert time.monotonic() < deadline, seen
