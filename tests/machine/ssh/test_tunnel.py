from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from testbed.openssh import OpenSshMachine, free_port

from gpu_box.errors import CloudError, HostKeyChanged, MachineUnreachable
from gpu_box.machine.ssh import tunnel
from gpu_box.machine.ssh.tunnel import Tunnel
from gpu_box.model.machine import Forward, Host
from gpu_box.model.observed import InstanceState

from ..conftest import Recorder, host_of
from ..relay import relay


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """Answers what it gets, once the sender has finished."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                with peer:
                    content = b""
                    while piece := peer.recv(65536):
                        content += piece
                    peer.sendall(content)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def ask(port: int, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


def test_a_local_port_leads_to_the_boxs(shared_machine: OpenSshMachine, report: Recorder) -> None:
    host, wanted = host_of(shared_machine), free_port()
    with echo_server() as port, Tunnel(host, [Forward(local=wanted, remote=port)], report=report) as link:
        assert link.local_port == wanted
        content = b"x" * 3_000_000
        assert ask(wanted, content) == content
        answers: list[bytes] = []
        clients = [threading.Thread(target=lambda: answers.append(ask(wanted, b"hi"))) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert answers == [b"hi"] * 8
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", wanted), timeout=1)


def test_a_taken_local_port_gives_the_next_free_one(shared_machine: OpenSshMachine, report: Recorder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, echo_server() as port:
        wanted = taken.getsockname()[1]
        with Tunnel(host_of(shared_machine), [Forward(local=wanted, remote=port)], report=report) as link:
            assert link.local_port > wanted
            assert ask(link.local_port, b"hi") == b"hi"


def test_a_closed_port_of_the_box_ends_the_client_and_not_the_tunnel(
    shared_machine: OpenSshMachine, report: Recorder
) -> None:
    with Tunnel(
        host_of(shared_machine), [Forward(local=free_port(), remote=free_port())], report=report
    ) as link:
        for _ in range(2):
            with contextlib.suppress(ConnectionResetError):
                assert ask(link.local_port, b"hi") == b""


def test_an_ssh_server_that_refuses_to_forward_is_named(machine: OpenSshMachine, report: Recorder) -> None:
    config = machine.folder / "sshd_config"
    config.write_text(config.read_text() + "AllowTcpForwarding no\n")
    machine.reload_host_keys()
    with Tunnel(host_of(machine), [Forward(local=free_port(), remote=free_port())], report=report) as link:
        with contextlib.suppress(ConnectionResetError):
            assert ask(link.local_port, b"hi") == b""
        until_reported(report, "refuses to forward port")


def test_a_broken_link_comes_back(machine: OpenSshMachine, report: Recorder) -> None:
    host = host_of(machine)
    with (
        echo_server() as port,
        Tunnel(host, [Forward(local=free_port(), remote=port)], report=report) as link,
    ):
        assert ask(link.local_port, b"before") == b"before"
        machine.cut_connections()
        until_reported(report, "is back")
        assert ask(link.local_port, b"after") == b"after"


def until_reported(report: Recorder, words: str) -> None:
    deadline = time.monotonic() + 60
    while not any(words in line for _, _, line in report.events):
        assert time.monotonic() < deadline, report.events
        time.sleep(0.05)


def test_a_link_that_went_silent_is_asked_whether_it_lives(
    shared_machine: OpenSshMachine, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "_SILENT_S", 0.7)
    monkeypatch.setattr(tunnel, "_ANSWERS_WITHIN_S", 2.0)
    host = host_of(shared_machine)
    with echo_server() as port, relay(host.port) as network:
        through = replace(host, port=network.port)
        with Tunnel(through, [Forward(local=free_port(), remote=port)], report=report) as link:
            time.sleep(1.5)  # asked, and answered
            assert report.events == []
            network.silence()
            until_reported(report, "is back")
            assert ask(link.local_port, b"after") == b"after"


def test_after_a_sleep_the_link_is_asked_at_once(
    shared_machine: OpenSshMachine, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a lid is opened: the wall clock is hours ahead, and the link died meanwhile without a word."""
    off, clock = 0.0, time.time
    monkeypatch.setattr(tunnel.time, "time", lambda: clock() + off)
    host = host_of(shared_machine)
    with echo_server() as port, relay(host.port) as network:
        through = replace(host, port=network.port)
        with Tunnel(through, [Forward(local=free_port(), remote=port)], report=report) as link:
            off = 7200.0  # a clock that is set, and a link that lives
            time.sleep(1.2)
            assert report.events == []
            network.silence()
            off = 4 * 7200.0
            until_reported(report, "is back")
            assert ask(link.local_port, b"after") == b"after"


def test_a_box_that_is_up_again_elsewhere_is_found(machine: OpenSshMachine, report: Recorder) -> None:
    host, elsewhere = host_of(machine), free_port()
    found: list[Host | InstanceState | CloudError] = [CloudError("no network"), InstanceState.STOPPED]

    def find() -> Host | InstanceState:
        one = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(one, CloudError):
            raise one
        return one

    with (
        echo_server() as port,
        Tunnel(host, [Forward(local=free_port(), remote=port)], report=report, find=find) as link,
    ):
        machine.stop()
        until_reported(report, "no network")
        until_reported(report, "box is stopped: `gpu-box up` starts it")
        machine.move(elsewhere)
        found[:] = [replace(host, port=elsewhere)]
        until_reported(report, "is back")
        assert ask(link.local_port, b"after") == b"after"


def test_a_box_that_was_removed_ends_it(machine: OpenSshMachine, report: Recorder) -> None:
    with Tunnel(
        host_of(machine),
        [Forward(local=free_port(), remote=free_port())],
        report=report,
        find=lambda: InstanceState.TERMINATED,
    ) as link:
        machine.stop()
        with pytest.raises(CloudError, match="no box 'box' any more"):
            link.wait(60)


def test_a_server_that_started_on_another_port_is_found(
    shared_machine: OpenSshMachine, report: Recorder
) -> None:
    with (
        echo_server() as port,
        Tunnel(
            host_of(shared_machine),
            [Forward(local=free_port(), remote=free_port())],
            report=report,
            port_of=lambda connection: port,
        ) as link,
    ):
        assert ask(link.local_port, b"hi") == b"hi"


def test_it_does_not_come_back_to_another_machine(machine: OpenSshMachine, report: Recorder) -> None:
    with Tunnel(host_of(machine), [Forward(local=free_port(), remote=free_port())], report=report) as link:
        key = machine.sshd_dir / "ssh_host_ed25519_key"
        key.write_bytes(machine.user_key.read_bytes())
        machine.reload_host_keys()
        machine.cut_connections()
        with pytest.raises(HostKeyChanged):
            link.wait(60)


def test_no_tunnel_to_a_box_that_is_not_there(shared_machine: OpenSshMachine, report: Recorder) -> None:
    nowhere = replace(host_of(shared_machine), port=free_port())
    with (
        pytest.raises(MachineUnreachable),
        Tunnel(nowhere, [Forward(local=free_port(), remote=1)], report=report),
    ):
        pass
