"""Another user of this computer who holds every possible connection does not stop the cloud."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from testbed.cloud import Cloud, KeyFile, wait_until
from testbed.ssh import Ssh, reach

from local_aws import daemon, server
from local_aws.connections import Connections
from local_aws.failure import Failure
from local_aws.files import Files
from local_aws.machines.process import census
from tests.paths import POLICY

FEW = 300  # files that the daemon may have open
LINUX = Path("/proc/self/fd").is_dir()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "data"
    yield home
    daemon.stop(home)


@pytest.fixture
def small_cloud(home: Path) -> Cloud:
    """Its daemon may open at most FEW files, so that a flood stays small."""
    start = (
        "import sys, pathlib, local_aws.daemon as d; h, *p = map(pathlib.Path, sys.argv[1:])\nd.start(h, p)"
    )
    words = [sys.executable, "-c", start, str(home), *map(str, POLICY)]
    subprocess.run(["sh", "-c", f'ulimit -n {FEW}; exec "$@"', "sh", *words], check=True)
    cloud = Cloud(home)
    cloud.empty()
    return cloud


@contextmanager
def flood(address: str, port: int, count: int) -> Iterator[None]:
    """Hold this many silent connections, and connect again when one is cut."""
    over = threading.Event()
    held: list[socket.socket] = []

    def hold() -> None:
        while not over.is_set():
            for connection in [one for one in held if cut(one)]:
                connection.close()
                held.remove(connection)
            while len(held) < count and not over.is_set():
                with suppress(OSError):
                    held.append(socket.create_connection((address, port), timeout=1))
            time.sleep(0.05)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        wait_until(lambda: len(held) >= count * 0.9)
        yield
    finally:
        over.set()
        thread.join()
        for connection in held:
            connection.close()


def cut(connection: socket.socket) -> bool:
    try:
        while said := connection.recv(1000, socket.MSG_DONTWAIT):
            assert said
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def ssh_works(ssh: Ssh) -> None:
    """Perhaps not at once: the flood may also cut a login."""
    wait_until(lambda: ssh.run("true").returncode == 0)


def test_a_flood_of_a_box_s_ssh_port_stops_neither_the_cloud_nor_the_box(
    small_cloud: Cloud, key: KeyFile
) -> None:
    instance = small_cloud.run_with_machine(key)
    ssh = reach(small_cloud, instance, key)
    ssh_works(ssh)
    with flood(ssh.address, ssh.port, FEW + 100):
        for _ in range(3):
            assert daemon.status(small_cloud.home) is not None
            assert small_cloud.state(instance) == "running"
        ssh_works(ssh)
    ssh_works(ssh)


@pytest.mark.skipif(not LINUX, reason="counts a process's open files in /proc")
def test_a_flood_of_a_box_s_metadata_service_leaves_files_for_the_owner(
    small_cloud: Cloud, key: KeyFile
) -> None:
    instance = small_cloud.run_with_machine(key)
    ssh = reach(small_cloud, instance, key)
    endpoint = ssh.says("echo $AWS_EC2_METADATA_SERVICE_ENDPOINT")
    address, _, port = endpoint.split("/")[2].partition(":")
    running = daemon.status(small_cloud.home)
    assert running is not None
    with flood(address, int(port), FEW + 100):
        open_files = Path(f"/proc/{running.pid}/fd")
        wait_until(lambda: len(list(open_files.iterdir())) < FEW * 0.6, seconds=5)
        assert small_cloud.state(instance) == "running"
        ssh_works(ssh)


def test_a_flood_of_the_cloud_s_own_port_keeps_its_owner_from_nothing(small_cloud: Cloud) -> None:
    port = int(small_cloud.endpoint.rpartition(":")[2])
    with flood("127.0.0.1", port, FEW + 100):
        for _ in range(5):
            assert daemon.status(small_cloud.home) is not None
        assert small_cloud.http("GET", "/embedded/weather")[0] == 200


def test_a_request_that_drips_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_REQUEST_S", 0.3)
    listener = server.listening(0)
    address = listener.getsockname()
    running = server.serving(lambda environ, start_response: [], listener)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        with closing(socket.create_connection(address)) as connection:
            connection.setblocking(False)
            end = time.monotonic() + 10
            with suppress(OSError):  # sent after the end
                while not cut(connection):
                    assert time.monotonic() < end
                    connection.sendall(b"G")
                    time.sleep(0.02)
    finally:
        running.shutdown()
        running.server_close()


def test_a_connection_that_does_not_log_in_is_cut(
    machine: tuple[object, Ssh], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_aws.machines.process.sshd._LOGIN_S", 0.2)
    with closing(socket.create_connection((machine[1].address, machine[1].port), timeout=20)) as connection:
        while connection.recv(1000):
            pass


def test_the_port_with_most_connections_loses_its_oldest_one() -> None:
    pairs = [socket.socketpair() for _ in range(4)]
    connections = Connections(3)
    connections.add(pairs[0][0], listener="quiet")
    for near, _ in pairs[1:]:
        connections.add(near, listener="busy")
    assert [cut(far) for _, far in pairs] == [False, True, False, False]
    connections.remove(pairs[2][0])  # it has logged in
    late = socket.socketpair()
    connections.add(late[0], listener="busy")
    assert [cut(far) for _, far in pairs] == [False, True, False, False]
    for near, far in [*pairs, late]:
        near.close()
        far.close()


@pytest.mark.skipif(not LINUX, reason="reads a process's limits in /proc")
def test_the_daemon_may_open_more_files_than_the_shell_that_started_it(home: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, before[1]), before[1]))
    try:
        daemon.start(home, POLICY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    running = daemon.status(home)
    assert running is not None
    limits = Path(f"/proc/{running.pid}/limits").read_text()
    soft = next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files"))
    assert int(soft) == min(before[1], 4096)


@pytest.fixture
def frozen(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The pid of a daemon that runs but does not answer."""
    daemon.start(home, POLICY)
    running = daemon.status(home)
    assert running is not None
    os.kill(running.pid, signal.SIGSTOP)
    ask = daemon.http.client.HTTPConnection
    monkeypatch.setattr(
        daemon.http.client, "HTTPConnection", lambda host, port, timeout: ask(host, port, timeout=0.2)
    )
    monkeypatch.setattr(daemon, "_ANSWER_TIMEOUT_S", 0.5, raising=False)
    yield running.pid
    with suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGCONT)


def test_a_daemon_that_was_slow_for_a_while_is_found_again(home: Path, frozen: int) -> None:
    with pytest.raises(Failure, match="runs but does not answer") as caught:
        daemon.start(home, POLICY)
    assert "gpu-box local stop" in str(caught.value)
    assert daemon.status(home) is None
    assert daemon.is_up(home)
    os.kill(frozen, signal.SIGCONT)
    wait_until(lambda: daemon.status(home) is not None)
    found = daemon.status(home)
    assert found is not None
    assert found.pid == frozen


def test_a_daemon_that_does_not_answer_can_be_stopped(
    home: Path, frozen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with suppress(Failure):
        daemon.start(home, POLICY)
    monkeypatch.setattr(daemon, "_STOP_TIMEOUT_S", 0.5)
    assert daemon.stop(home) is True
    assert not daemon.is_up(home)
    daemon.start(home, POLICY)


@pytest.mark.skipif(not LINUX, reason="a killed daemon's programs are found in /proc")
def test_a_daemon_that_has_to_be_killed_leaves_no_program_of_a_box(
    home: Path, key: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(home)
    cloud.empty()
    instance = cloud.run_with_machine(key)
    reach(cloud, instance, key).says("(setsid sleep 1000 >/dev/null 2>&1 &)")
    wait_until(lambda: bool(census.members(instance)))  # while `sleep` is being started it is not found
    running = daemon.status(home)
    assert running is not None
    os.kill(running.pid, signal.SIGSTOP)
    monkeypatch.setattr(daemon, "_STOP_TIMEOUT_S", 0.5)
    assert daemon.stop(home) is True
    assert census.members(instance) == set()


def test_the_log_of_a_running_daemon_stays_small(home: Path) -> None:
    daemon.start(home, POLICY)
    log = Files(home).log
    with log.open("ab") as file:
        file.write(b"Too many open files\n" * 100_000)
    wait_until(lambda: log.stat().st_size < 1_000_000)
    assert log.with_suffix(".log.old").read_bytes().endswith(b"Too many open files\n")
    with log.open("ab") as file:
        file.write(b"again\n")
    assert log.read_bytes().endswith(b"again\n")
    assert b"\0" not in log.read_bytes()
