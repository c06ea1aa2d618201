"""Ports of the box on the laptop: `tunnel`, and the config's `ports`."""

from __future__ import annotations

import errno
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testbed.openssh import free_port

from gpu_box.cli.main import main
from gpu_box.errors import CloudError
from gpu_box.machine import listeners
from gpu_box.machine.listeners import Listener
from gpu_box.machine.ssh.tunnel import Tunnel
from tests import needs

from .. import schema
from .conftest import Desk, Started


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[[int, str], subprocess.Popen[bytes]]]:
    """`web(port, "hello")`: a web server that says hello. The box shares this machine's loopback."""
    running = []

    def start(port: int, text: str) -> subprocess.Popen[bytes]:
        folder = tmp_path / str(port)
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text(text)
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
                cwd=folder,
                stderr=subprocess.DEVNULL,
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def get(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def line_with(started: Started, words: str) -> str:
    for line in started.out:
        if words in line.decode():
            return line.decode().rstrip()
    raise AssertionError(f"no line with {words!r}: {started.end()}")


def test_two_ports_come_over_one_connection_and_ctrl_c_closes_them(
    desk: Desk, web: Callable[[int, str], subprocess.Popen[bytes]]
) -> None:
    ports, here = (free_port(), free_port()), (free_port(), free_port())
    for port in ports:
        web(port, f"server {port}")
    words = [f"{mine}:{port}" for mine, port in zip(here, ports, strict=True)]
    with desk.started("tunnel", *words) as tunnel:
        line_with(tunnel, "Ctrl-C closes it.")
        assert [get(port) for port in here] == [f"server {port}" for port in ports]
        tunnel.process.send_signal(signal.SIGINT)
        assert tunnel.end()[0] == 130
    with pytest.raises(OSError):
        get(here[0])


def test_a_port_that_is_taken_here_takes_the_next_one_and_says_so(
    desk: Desk, web: Callable[[int, str], subprocess.Popen[bytes]]
) -> None:
    port = free_port()
    web(port, "hello")
    with desk.started("tunnel", str(port)) as tunnel:
        line = line_with(tunnel, f"port {port} of the box")
        assert f"(port {port} is taken on this laptop)" in line
        assert get(int(line.partition(" ")[0].rpartition(":")[2])) == "hello"


def test_without_a_port_each_new_server_is_shown_and_one_that_vanishes_too(
    desk: Desk, web: Callable[[int, str], subprocess.Popen[bytes]]
) -> None:
    port = free_port()
    with desk.started("tunnel") as tunnel:
        line_with(tunnel, "Ctrl-C closes it.")
        server = web(port, "new")
        line = line_with(tunnel, f"port {port} of the box, http.server")
        here = int(line.partition(" ")[0].rpartition(":")[2])
        assert get(here) == "new"
        server.kill()
        server.wait()
        line_with(tunnel, f"The server on port {port} of the box has ended.")
        web(port, "again")
        assert f"127.0.0.1:{here} " in line_with(tunnel, f"port {port} of the box, http.server")
        assert get(here) == "again"


@needs.root
def test_a_server_on_a_port_that_needs_root_has_a_higher_one_here(
    desk: Desk, web: Callable[[int, str], subprocess.Popen[bytes]]
) -> None:
    port = random.randrange(900, 1024)
    with desk.started("tunnel") as tunnel:
        line_with(tunnel, "Ctrl-C closes it.")
        web(port, "low")
        here = int(line_with(tunnel, f"port {port} of the box").partition(" ")[0].rpartition(":")[2])
        assert here >= port + 8000 and get(here) == "low"


def test_a_port_where_nothing_listens_is_named_once(desk: Desk) -> None:
    here, port = free_port(), free_port()
    with desk.started("tunnel", f"{here}:{port}") as tunnel:
        line_with(tunnel, "Ctrl-C closes it.")
        for _ in range(2):
            with pytest.raises(OSError):
                get(here)
        tunnel.process.send_signal(signal.SIGINT)
        assert tunnel.end()[1].count(f"nothing listens on port {port}") == 1


def test_the_config_s_ports_come_with_every_tunnel_and_jupyter(
    desk: Desk, web: Callable[[int, str], subprocess.Popen[bytes]]
) -> None:
    port, mine, typed = free_port(), free_port(), free_port()
    web(port, "from the config")
    config = desk.folder / "ports.yaml"
    config.write_text((desk.folder / "config.yaml").read_text() + f'ports: ["{mine}:{port}"]\n')
    (desk.home / ".gpu-box" / "jupyter").mkdir(exist_ok=True)
    (desk.home / ".gpu-box" / "jupyter" / "port").write_text(f"{port}\n")
    (desk.home / ".gpu-box" / "jupyter" / "token").write_text("a-token\n")
    for words in (["tunnel", str(typed)], ["tunnel"], ["jupyter", "--no-browser"]):
        with desk.started("--config", str(config), *words) as tunnel:
            line_with(tunnel, f"127.0.0.1:{mine} forwards to port {port} of the box")
            assert get(mine) == "from the config"
        tunnel.process.wait()
    for words in (["tunnel", str(typed)], ["jupyter", "--no-browser"]):
        with desk.started("--json", "--config", str(config), *words) as tunnel:
            answer = schema.held(words, tunnel.out.readline().decode())
            ports = answer["ports"] if isinstance(answer, dict) else answer
            assert {"port": port, "local_port": mine, "taken": None, "program": ""} in ports
            if isinstance(answer, dict):
                assert answer["address"].endswith("/lab?token=a-token")
            assert get(mine) == "from the config"
        tunnel.process.wait()


@pytest.fixture
def served(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`served(8888)`: the box lists such a server, and the tunnel then ends as with Ctrl-C, or by `end`."""
    monkeypatch.chdir(desk.folder)

    def make(*ports: int, end: BaseException | None = None) -> None:
        def watch(_: object, take: Callable[[tuple[Listener, ...]], None]) -> None:
            take(tuple(Listener(port=port, program="web") for port in ports))
            raise end or KeyboardInterrupt

        monkeypatch.setattr(listeners, "watch", watch)

    return make


BARRED, HIGH = 20000, 29000


@pytest.fixture
def barred(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program may open BARRED, one of the next ports, or any port in its place."""
    real = socket.create_server

    def create_server(address: tuple[str, int], **more: int) -> socket.socket:
        if address[1] in (0, *range(BARRED, BARRED + 200)):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(address, **more)

    monkeypatch.setattr(socket, "create_server", create_server)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_server_that_cannot_be_brought_here_is_named_and_the_others_come(
    served: Callable[..., None], barred: None, capfd: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    served(BARRED, HIGH, BARRED + 1)
    assert main([*options, "tunnel"]) == 130
    out, err = capfd.readouterr()
    for port in (BARRED, BARRED + 1):
        assert f"port {port} of the box: no local port can be opened: Permission denied\n" in err
    if options:
        [one] = schema.held(["tunnel"], out)
        assert one["port"] == HIGH
    else:
        assert f"forwards to port {HIGH} of the box, web" in out
    served(BARRED, BARRED + 1)
    assert main([*options, "tunnel"]) == 2


@pytest.mark.parametrize("words", [["tunnel", "6006"], ["tunnel"], ["jupyter", "--no-browser"]])
def test_a_link_that_is_lost_for_good_leaves_one_json_value_on_one_line(
    desk: Desk,
    served: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    gone = CloudError("there is no such box any more")
    served(HIGH, end=gone)
    monkeypatch.setattr(Tunnel, "wait", lambda *_: _raise(gone))
    (desk.home / ".gpu-box" / "jupyter").mkdir(exist_ok=True)
    (desk.home / ".gpu-box" / "jupyter" / "port").write_text("8888\n")
    (desk.home / ".gpu-box" / "jupyter" / "token").write_text("a-token\n")
    assert main(["--json", *words]) == 1
    out, err = capfd.readouterr()
    schema.held(words, out)
    assert out.count("\n") == 1
    assert "error: there is no such box any more" in err


def _raise(error: Exception) -> None:
    raise error


def test_a_port_above_which_none_is_free_takes_any_other(desk: Desk) -> None:
    with (
        socket.create_server(("127.0.0.1", 65535)),
        desk.started("tunnel", "65535") as tunnel,
    ):
        assert "(port 65535 is taken on this laptop)" in line_with(tunnel, "port 65535 of the box")
