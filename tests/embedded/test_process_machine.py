"""A process machine through real SSH clients: commands, terminals, files, forwarding, and its end."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from gpu_box.embedded import census
from gpu_box.embedded.machine import Boot
from gpu_box.embedded.process import ProcessMachine

from .cloud import KeyFile, make_key, wait_until
from .ssh import Ssh

ID = f"i-{secrets.token_hex(8)}0"  # processes are found by it, those of a test run beside this one too
_admitted = {"127.0.0.1"}


def boot(key: KeyFile, *, port: int = 0, user_data: bytes = b"") -> Boot:
    return Boot(
        instance_id=ID, address="127.77.0.7", port=port, public_key=key.public, user_data=user_data,
        admits=lambda peer: peer in _admitted, exited=lambda: None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(scope="module")
def machine_key(folder: Path) -> KeyFile:
    return make_key(folder)


@pytest.fixture(scope="module")
def machine(folder: Path, machine_key: KeyFile) -> Iterator[tuple[ProcessMachine, Ssh]]:
    machine = ProcessMachine(ID, folder / ID)
    port = machine.start(boot(machine_key))
    ssh = Ssh("127.77.0.7", port, machine_key, folder / "known")
    ssh.pin((folder / ID / "home/.sshd/ssh_host_ed25519_key.pub").read_text())
    yield machine, ssh
    machine.destroy()
    assert not (folder / ID).exists()


@pytest.fixture
def ssh(machine: tuple[ProcessMachine, Ssh]) -> Ssh:
    return machine[1]


@pytest.fixture
def home(folder: Path, machine: object) -> Path:
    return folder / ID / "home"


def test_a_command_runs_in_the_machines_home_and_its_status_comes_back(ssh: Ssh, home: Path) -> None:
    done = ssh.run("pwd; echo $HOME; echo oops >&2; exit 3")
    assert done.returncode == 3
    assert done.stdout.decode().split() == [str(home), str(home)]
    assert done.stderr == b"oops\n"


def test_large_output_arrives_whole_with_its_status(ssh: Ssh) -> None:
    for _ in range(3):
        done = ssh.run("head -c 5000000 /dev/urandom | tee /dev/stderr | wc -c; exit 7")
        assert (done.returncode, done.stdout.strip(), len(done.stderr)) == (7, b"5000000", 5_000_000)


def test_large_binary_input_comes_back_unchanged(ssh: Ssh) -> None:
    sent = os.urandom(4_000_000)
    done = ssh.run("cat; exit 4", sent=sent)
    assert done.returncode == 4
    assert done.stdout == sent


def test_a_command_that_reads_nothing_is_not_held_up_by_input(ssh: Ssh) -> None:
    assert ssh.run("exit 5", sent=bytes(2_000_000)).returncode == 5


def test_paramiko_gets_the_status_of_large_output_too(ssh: Ssh) -> None:
    with connected(ssh) as client:
        _, stdout, _ = client.exec_command("head -c 4000000 /dev/zero; exit 9")
        assert len(stdout.read()) == 4_000_000
        assert stdout.channel.recv_exit_status() == 9


def test_a_command_killed_by_a_signal_says_so(ssh: Ssh) -> None:
    with connected(ssh) as client:
        channel = client.get_transport().open_session()  # type: ignore[union-attr]
        channel.exec_command("kill -9 $$")
        assert channel.recv_exit_status() == -1  # paramiko's word for "no status"


def test_many_sessions_share_a_connection(ssh: Ssh) -> None:
    with connected(ssh) as client:
        running = [client.exec_command(f"sleep 0.3; echo {n}") for n in range(8)]
        started = time.monotonic()
        assert [out.read().decode().strip() for _, out, _ in running] == [str(n) for n in range(8)]
        assert time.monotonic() - started < 2


def test_a_terminal_has_a_size_and_follows_it(ssh: Ssh) -> None:
    with connected(ssh) as client:
        shell = client.invoke_shell(term="xterm", width=100, height=40)
        shell.send(b"stty size; echo $TERM; tty\n")
        assert "40 100" in read_until(shell, "/dev/")
        shell.resize_pty(width=81, height=31)
        time.sleep(0.1)
        shell.send(b"stty size; exit 6\n")
        assert "31 81" in read_until(shell, "31 81")
        assert shell.recv_exit_status() == 6


def test_ctrl_c_reaches_the_program_in_the_terminal(ssh: Ssh) -> None:
    with connected(ssh) as client:
        shell = client.invoke_shell()
        shell.send(b"echo rea''dy; sleep 60; echo still''here\n")
        read_until(shell, "ready")
        time.sleep(0.2)
        shell.send(b"\x03")
        shell.send(b"echo ba''ck; exit\n")
        assert "stillhere" not in read_until(shell, "back")


def test_closing_a_terminal_hangs_up_what_runs_in_it(ssh: Ssh, home: Path) -> None:
    with connected(ssh) as client:
        shell = client.invoke_shell()
        shell.send(b"trap 'echo gone > hup; exit' HUP; echo rea''dy; while :; do sleep 0.05; done\n")
        read_until(shell, "ready")
    wait_until(lambda: (home / "hup").exists())


def test_the_environment_is_the_machines_own(
    folder: Path, machine_key: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "GPU_BOX_HOME",
        "VIRTUAL_ENV",
        "TMUX",
        "SSH_AUTH_SOCK",
        "XDG_CONFIG_HOME",
    ):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.setenv("UV_CACHE_DIR", "/var/cache/uv")
    instance_id = f"i-{secrets.token_hex(8)}e"
    machine = ProcessMachine(instance_id, folder / "other")
    port = machine.start(boot(machine_key))
    try:
        ssh = Ssh("127.77.0.7", port, machine_key, folder / "known-other")
        ssh.pin((folder / "other/home/.sshd/ssh_host_ed25519_key.pub").read_text())
        told = dict(line.partition("=")[::2] for line in ssh.says("env").splitlines())
    finally:
        machine.destroy()
    assert "leaked" not in told.values()
    home = str(folder / "other/home")
    assert told["HOME"] == home
    assert told["GPU_BOX_SSHD_DIR"] == f"{home}/.sshd"
    assert told["GPU_BOX_MACHINE"] == instance_id
    assert told["UV_CACHE_DIR"] == "/var/cache/uv"
    assert told["SSH_CONNECTION"].endswith(f"127.77.0.7 {port}")


def test_python_is_the_hosts_and_in_no_virtual_environment(ssh: Ssh) -> None:
    same, version = ssh.says(
        "python3 -c 'import sys; print(sys.prefix == sys.base_prefix, sys.version_info >= (3, 8))'"
    ).split()
    assert (same, version) == ("True", "True")


def test_a_login_shell_finds_the_same_programs(ssh: Ssh) -> None:
    assert ssh.says("bash -lc 'echo $PATH'") == ssh.says("echo $PATH")


def test_files_go_both_ways_by_sftp(ssh: Ssh, home: Path, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    with connected(ssh) as client, client.open_sftp() as sftp:
        assert sftp.normalize(".") == str(home)
        with sftp.open("relative.bin", "wb") as file:
            file.set_pipelined()
            file.write(content)
        assert (home / "relative.bin").read_bytes() == content
        sftp.get("relative.bin", str(tmp_path / "back"))
        assert (tmp_path / "back").read_bytes() == content
        sftp.mkdir("made")
        sftp.put(str(tmp_path / "back"), f"{tmp_path}/absolute")
        assert (tmp_path / "absolute").read_bytes() == content
        sftp.symlink("relative.bin", "made/link")
        sftp.posix_rename("relative.bin", "made/renamed")
        assert sorted(sftp.listdir("made")) == ["link", "renamed"]
        sftp.chmod("made/renamed", 0o600)
        assert sftp.stat("made/renamed").st_mode == 0o100600


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_rsync_copies_a_tree_and_then_only_what_changed(ssh: Ssh, home: Path, tmp_path: Path) -> None:
    source = tmp_path / "project"
    (source / "deep/er").mkdir(parents=True)
    (source / "a").write_bytes(os.urandom(300_000))
    (source / "deep/er/b").write_text("b")
    shell = " ".join(["ssh", *ssh.options(), "-p", str(ssh.port)])
    target = f"{ssh.user}@{ssh.address}:project/"

    def sync() -> str:
        done = subprocess.run(
            ["rsync", "-a", "--itemize-changes", "-e", shell, f"{source}/", target],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    sync()
    assert (home / "project/a").read_bytes() == (source / "a").read_bytes()
    (source / "deep/er/b").write_text("changed")
    assert [line.split()[1] for line in sync().splitlines()] == ["deep/er/b"]


def test_a_forwarded_port_reaches_what_listens_on_the_machine(ssh: Ssh) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, connected(ssh) as client:
        answering = threading.Thread(target=echo_once, args=(listener,))
        answering.start()
        channel = client.get_transport().open_channel(  # type: ignore[union-attr]
            "direct-tcpip", listener.getsockname(), ("127.0.0.1", 0)
        )
        sent = os.urandom(100_000)
        channel.sendall(sent)
        channel.shutdown_write()
        received = b""
        while data := channel.recv(65536):
            received += data
        answering.join()
        assert received == sent


def test_another_key_password_or_name_is_not_let_in(ssh: Ssh, tmp_path: Path) -> None:
    stranger = Ssh(ssh.address, ssh.port, make_key(tmp_path), ssh.known_hosts)
    assert b"Permission denied (publickey)" in stranger.run("true").stderr
    root = Ssh(ssh.address, ssh.port, ssh.key, ssh.known_hosts, user="root")
    assert b"Permission denied (publickey)" in root.run("true").stderr


def test_a_peer_that_the_security_group_does_not_admit_is_refused(ssh: Ssh) -> None:
    _admitted.clear()
    try:
        assert ssh.run("true").returncode == 255
    finally:
        _admitted.add("127.0.0.1")
    assert ssh.run("true").returncode == 0


def test_a_host_key_put_in_the_folder_serves_the_next_connection(
    ssh: Ssh, home: Path, tmp_path: Path
) -> None:
    new = make_key(tmp_path, "host")
    with connected(ssh) as client:
        old = (home / ".sshd/ssh_host_ed25519_key").read_text()
        old_public = (home / ".sshd/ssh_host_ed25519_key.pub").read_text()
        ssh.run("cat > $GPU_BOX_SSHD_DIR/ssh_host_ed25519_key", sent=new.path.read_bytes())
        assert client.exec_command("echo on")[1].read() == b"on\n", "the open connection goes on"
    try:
        assert b"Host key verification failed" in ssh.run("true").stderr
        ssh.pin(new.public)
        assert ssh.run("true").returncode == 0
        (home / ".sshd/ssh_host_ed25519_key").write_text("not a key")
        assert ssh.run("true").returncode == 0, "a broken file leaves the key before in service"
    finally:
        (home / ".sshd/ssh_host_ed25519_key").write_text(old)
        ssh.pin(old_public)


def test_the_host_key_of_the_user_data_is_served(folder: Path, machine_key: KeyFile, tmp_path: Path) -> None:
    host = make_key(tmp_path, "host")
    indented = host.path.read_text().replace("\n", "\n    ")
    user_data = (
        f"#cloud-config\nssh_keys:\n  ed25519_private: |\n    {indented}\n  ed25519_public: {host.public}\n"
    )
    machine = ProcessMachine(f"i-{secrets.token_hex(8)}f", tmp_path / "m")
    port = machine.start(boot(machine_key, user_data=user_data.encode()))
    try:
        ssh = Ssh("127.77.0.7", port, machine_key, tmp_path / "known")
        ssh.pin(host.public)
        assert ssh.run("true").returncode == 0
    finally:
        machine.destroy()


def test_small_commands_are_not_delayed_by_nagle(ssh: Ssh) -> None:
    with connected(ssh) as client:
        client.exec_command("true")[1].channel.recv_exit_status()
        started = time.monotonic()
        for _ in range(10):
            client.exec_command("true")[1].channel.recv_exit_status()
        assert time.monotonic() - started < 0.4 * 10 / 2, "a delayed ACK costs 40 ms a round trip"


def test_stopping_ends_whatever_was_started_and_keeps_the_home(
    folder: Path, machine_key: KeyFile, tmp_path: Path
) -> None:
    instance_id = f"i-{secrets.token_hex(8)}d"
    machine = ProcessMachine(instance_id, tmp_path / "m")
    port = machine.start(boot(machine_key))
    ssh = Ssh("127.77.0.7", port, machine_key, tmp_path / "known")
    ssh.pin((tmp_path / "m/home/.sshd/ssh_host_ed25519_key.pub").read_text())
    ssh.run(
        "echo kept > file;"
        "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 &);"
        "nohup sleep 1000 >/dev/null 2>&1 &"
    )
    if shutil.which("tmux"):
        assert ssh.run("tmux new-session -d 'sleep 1000'").returncode == 0
    held = subprocess.Popen(ssh.command("sleep 1000"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(census.members(instance_id)) >= 5)
    machine.stop()
    assert census.members(instance_id) == set()
    assert held.wait(10) == 255
    assert not machine.alive()

    assert machine.start(boot(machine_key, port=port)) == port, "the port is taken again"
    assert ssh.says("cat file") == "kept"
    machine.destroy()
    assert not (tmp_path / "m").exists()


@contextmanager
def connected(ssh: Ssh) -> Iterator[paramiko.SSHClient]:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(ssh.known_hosts))
        client.connect(
            ssh.address,
            ssh.port,
            ssh.user,
            key_filename=str(ssh.key.path),
            allow_agent=False,
            look_for_keys=False,
        )
        transport = client.get_transport()
        assert transport is not None
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def read_until(channel: paramiko.Channel, text: str) -> str:
    channel.settimeout(10)
    seen = ""
    while text not in seen:
        data = channel.recv(4096)
        assert data, f"closed after {seen!r}"
        seen += data.decode(errors="replace")
    return seen


def echo_once(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        while data := peer.recv(65536):
            peer.sendall(data)
