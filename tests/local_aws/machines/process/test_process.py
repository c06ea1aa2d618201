"""A process machine: its access, its environment and its end."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from testbed.cloud import KeyFile, make_key, wait_until
from testbed.ssh import Ssh

from local_aws.machines.process import census, environment
from local_aws.machines.process.process import ProcessMachine
from watch.policy import Policy
from watch.read.machine import Machine
from watch.read.processes import time_since_boot

from .... import needs
from ...process_box import ADDRESS, admitted, boot, connected


def test_the_environment_is_the_machines_own(
    process_folder: Path, machine_key: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "GPU_BOX_HOME",
        "VIRTUAL_ENV",
        "TMUX",
        "SSH_AUTH_SOCK",
        "XDG_CONFIG_HOME",
        "GITHUB_TOKEN",
        "HF_TOKEN",
        "UV_PUBLISH_TOKEN",
        "ANYTHING",
    ):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.setenv("UV_CACHE_DIR", "/var/cache/uv")
    instance_id = f"i-{secrets.token_hex(8)}e"
    machine = ProcessMachine(instance_id, process_folder / "other")
    port = machine.start(boot(machine_key))
    try:
        ssh = Ssh(ADDRESS, port, machine_key, process_folder / "known-other")
        ssh.pin((process_folder / "other/home/.sshd/ssh_host_ed25519_key.pub").read_text())
        variables = dict(line.partition("=")[::2] for line in ssh.says("env").splitlines())
    finally:
        machine.destroy()
    assert "leaked" not in variables.values()
    home = str(process_folder / "other/home")
    assert variables["HOME"] == home
    assert variables["GPU_BOX_SSHD_DIR"] == f"{home}/.sshd"
    assert variables["GPU_BOX_MACHINE"] == instance_id
    assert variables["UV_CACHE_DIR"] == "/var/cache/uv"
    assert variables["SSH_CONNECTION"].endswith(f"127.77.0.7 {port}")


def test_a_folder_on_path_that_may_not_be_entered_is_no_obstacle(tmp_path: Path) -> None:
    closed = needs.closed_folder(tmp_path)
    outer = {"PATH": f"{closed / 'bin'}:/usr/bin", "HOME": str(closed)}
    inner = environment.machine_environment("i-1", tmp_path / "m", outer)
    assert inner["PATH"] == f"{tmp_path / 'm/bin'}:{closed / 'bin'}:/usr/bin"
    assert "PIP_CONFIG_FILE" not in inner


def test_the_machines_hours_count_from_its_own_start_and_not_from_this_computers(
    ssh: Ssh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_BOX_BORN", ssh.says("echo $GPU_BOX_BORN"))
    assert 0 <= Machine(Policy(), list).sample().up < 600
    monkeypatch.setenv("GPU_BOX_BORN", "0")
    assert Machine(Policy(), list).sample().up == pytest.approx(time_since_boot(), abs=60)


def test_python_is_the_hosts_and_in_no_virtual_environment(ssh: Ssh) -> None:
    same, version = ssh.says(
        "python3 -c 'import sys; print(sys.prefix == sys.base_prefix, sys.version_info >= (3, 8))'"
    ).split()
    assert (same, version) == ("True", "True")


def test_a_login_shell_finds_the_same_programs(ssh: Ssh) -> None:
    assert ssh.says("bash -lc 'echo $PATH'") == ssh.says("echo $PATH")


def test_another_key_password_or_name_is_not_let_in(ssh: Ssh, tmp_path: Path) -> None:
    stranger = Ssh(ssh.address, ssh.port, make_key(tmp_path), ssh.known_hosts)
    assert b"Permission denied (publickey)" in stranger.run("true").stderr
    root = Ssh(ssh.address, ssh.port, ssh.key, ssh.known_hosts, user="root")
    assert b"Permission denied (publickey)" in root.run("true").stderr


def test_a_peer_that_the_security_group_does_not_admit_is_refused(ssh: Ssh) -> None:
    admitted.clear()
    try:
        assert ssh.run("true").returncode == 255
    finally:
        admitted.add("127.0.0.1")
    assert ssh.run("true").returncode == 0


def test_a_host_key_put_in_the_folder_serves_the_next_connection(
    ssh: Ssh, machine_home: Path, tmp_path: Path
) -> None:
    new = make_key(tmp_path, "host")
    with connected(ssh) as client:
        old = (machine_home / ".sshd/ssh_host_ed25519_key").read_text()
        old_public = (machine_home / ".sshd/ssh_host_ed25519_key.pub").read_text()
        ssh.run("cat > $GPU_BOX_SSHD_DIR/ssh_host_ed25519_key", sent=new.path.read_bytes())
        assert client.exec_command("echo on")[1].read() == b"on\n", "the open connection goes on"
    try:
        assert b"Host key verification failed" in ssh.run("true").stderr
        ssh.pin(new.public)
        assert ssh.run("true").returncode == 0
        (machine_home / ".sshd/ssh_host_ed25519_key").write_text("not a key")
        assert ssh.run("true").returncode == 0, "a broken file leaves the key before in service"
    finally:
        (machine_home / ".sshd/ssh_host_ed25519_key").write_text(old)
        ssh.pin(old_public)


def test_the_host_key_of_the_user_data_is_served(
    process_folder: Path, machine_key: KeyFile, tmp_path: Path
) -> None:
    host = make_key(tmp_path, "host")
    indented = host.path.read_text().replace("\n", "\n    ")
    user_data = (
        f"#cloud-config\nssh_keys:\n  ed25519_private: |\n    {indented}\n  ed25519_public: {host.public}\n"
    )
    machine = ProcessMachine(f"i-{secrets.token_hex(8)}f", tmp_path / "m")
    port = machine.start(boot(machine_key, user_data=user_data.encode()))
    try:
        ssh = Ssh(ADDRESS, port, machine_key, tmp_path / "known")
        ssh.pin(host.public)
        assert ssh.run("true").returncode == 0
    finally:
        machine.destroy()


def test_stopping_ends_a_program_that_was_just_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of execve() a process has no environment, so one search may miss it."""
    process = subprocess.Popen(["sleep", "1000"])
    seen: list[set[int]] = [set(), set(), set(), {process.pid}, {process.pid}]  # found, found, missed, found
    monkeypatch.setattr(census, "members", lambda _: seen.pop(0) if seen else {process.pid} - _ended(process))
    try:
        census.end_all("i-1")
        assert process.poll() is not None
    finally:
        process.kill()
        process.wait()


def _ended(process: subprocess.Popen[bytes]) -> set[int]:
    return set() if process.poll() is None else {process.pid}


def test_stopping_ends_whatever_was_started_and_keeps_the_home(
    process_folder: Path, machine_key: KeyFile, tmp_path: Path
) -> None:
    instance_id = f"i-{secrets.token_hex(8)}d"
    machine = ProcessMachine(instance_id, tmp_path / "m")
    port = machine.start(boot(machine_key))
    ssh = Ssh(ADDRESS, port, machine_key, tmp_path / "known")
    ssh.pin((tmp_path / "m/home/.sshd/ssh_host_ed25519_key.pub").read_text())
    ssh.run(
        "echo kept > file;"
        "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 &);"
        "nohup sleep 1000 >/dev/null 2>&1 &"
    )
    expected = 4  # the loop and its sleep, a sleep without a terminal, and that of `held`
    if shutil.which("tmux"):
        assert ssh.run("tmux new-session -d 'sleep 1000'").returncode == 0
        expected += 1
    held = subprocess.Popen(ssh.command("sleep 1000"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(census.members(instance_id)) >= expected)
    machine.stop()
    assert census.members(instance_id) == set()
    assert held.wait(60) == 255
    assert not machine.alive()

    assert machine.start(boot(machine_key, port=port)) == port, "the port is taken again"
    assert ssh.says("cat file") == "kept"
    machine.destroy()
    assert not (tmp_path / "m").exists()
