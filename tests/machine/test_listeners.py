"""The list of servers on the box (remote/attach): those that a person would open, and no others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from testbed.openssh import OpenSshMachine, free_port

from gpu_box.errors import MachineError
from gpu_box.machine import listeners
from gpu_box.machine.files import upload_remote
from gpu_box.machine.listeners import Listener
from gpu_box.machine.ssh import shell
from gpu_box.machine.ssh.connection import Connection
from gpu_box.resources import remote

from .conftest import host_of

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the box is a Linux machine")
_SERVE = "import socket, time; s = socket.create_server(({address!r}, {port})); time.sleep(60)"
_SERVE_6 = (
    "import socket, time; s = socket.create_server(({address!r}, {port}), family=socket.AF_INET6); "
    "time.sleep(60)"
)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`serve("127.0.0.1", port, name="tensorboard")`: a server with that name, until the test ends."""
    running = []

    def start(address: str, port: int, *, name: str) -> subprocess.Popen[bytes]:
        script = tmp_path / name
        script.write_text((_SERVE_6 if ":" in address else _SERVE).format(address=address, port=port))
        running.append(subprocess.Popen([sys.executable, script]))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


class Watched:
    """`python3 -m attach listeners`, as the laptop runs it."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "attach", "listeners"],
            cwd=remote(),
            env={**os.environ, "HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.out: IO[str] = self.process.stdout

    def until(self, port: int, program: str | None) -> None:
        """Read lists until one has this program on the port; None: until one has nothing there."""
        for line in self.out:
            found = {one["port"]: one["program"] for one in json.loads(line)}
            if found.get(port) == program:
                return
        raise AssertionError("it ended")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path)
    yield one
    one.process.kill()
    one.process.wait()
    one.out.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_server_is_listed_while_it_listens(
    serve: Callable[..., subprocess.Popen[bytes]], watched: Watched, address: str
) -> None:
    if ":" in address and not _has_ipv6():
        pytest.skip("no IPv6 here")
    port = free_port()
    server = serve(address, port, name="tensorboard")
    watched.until(port, "tensorboard")
    server.kill()
    server.wait()
    watched.until(port, None)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_kernels_editors_and_the_managed_jupyterlab_are_left_out(
    serve: Callable[..., subprocess.Popen[bytes]], watched: Watched, tmp_path: Path
) -> None:
    ports = [free_port() for _ in range(4)]
    (tmp_path / ".gpu-box" / "jupyter").mkdir(parents=True)
    (tmp_path / ".gpu-box" / "jupyter" / "port").write_text(f"{ports[0]}\n")
    (tmp_path / ".vscode-server").mkdir()
    for port, name in zip(
        ports, ("jupyter-lab", "ipykernel_launcher.py", ".vscode-server/node"), strict=False
    ):
        serve("127.0.0.1", port, name=name)
    for port in ports[:3]:
        _wait_for(port)
    serve("127.0.0.1", ports[3], name="gradio_app.py")
    for line in watched.out:
        found = {one["port"] for one in json.loads(line)}
        assert not found & set(ports[:3])
        if ports[3] in found:
            return


def _wait_for(port: int) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        else:
            return


def test_it_ends_with_its_reader(watched: Watched) -> None:
    watched.out.readline()
    watched.out.close()
    assert watched.process.wait(60) in (0, 1)


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("null", "invalid list"),
        ('[{"port": 70000, "program": "x"}]', "invalid list"),
        ('[{"port": 0, "program": "x"}]', "invalid list"),
        ('[{"port": "6006"}]', "invalid list"),
        ("[]", "the list of the box's servers ended"),
    ],
)
def test_what_a_box_may_say_instead_is_one_line(
    shared_machine: OpenSshMachine, printed: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "PYTHON", f"sh -c 'echo \"$0\"; exit 1' '{printed}' #")
    with Connection(host_of(shared_machine)) as connection:
        upload_remote.upload(connection, remote())
        with pytest.raises(MachineError, match=words):
            listeners.watch(connection, lambda found: None)


def test_a_name_cannot_write_to_the_terminal(
    shared_machine: OpenSshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = r'[{"port": 6006, "program": "a\u001b]52;c;x\u0007"}]'
    monkeypatch.setattr(shell, "PYTHON", f"printf '%s\\n' '{printed}' #")
    found: list[tuple[Listener, ...]] = []
    with Connection(host_of(shared_machine)) as connection:
        upload_remote.upload(connection, remote())
        with pytest.raises(MachineError):
            listeners.watch(connection, found.append)
    assert found == [(Listener(port=6006, program=r"a\x1b]52;c;x\x07"),)]
