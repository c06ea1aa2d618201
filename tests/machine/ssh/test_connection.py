from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine, free_port

from gpu_box.errors import HostKeyChanged, InputError, MachineError, MachineUnreachable
from gpu_box.machine.ssh import host_key, keys
from gpu_box.machine.ssh.connection import Connection, connect, wait_for_ssh
from gpu_box.machine.ssh.errors import LoginRefused
from gpu_box.machine.ssh.shell import LineSplitter, quote
from gpu_box.model.public_key import fingerprint

from ..conftest import Recorder, host_of


def test_a_command_gives_its_output_and_exit_status(shared_connection: Connection) -> None:
    result = shared_connection.run("echo out; echo err >&2; exit 3", check=False)
    assert (result.exit_status, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_a_failed_command_says_which_and_its_last_words(shared_connection: Connection) -> None:
    with pytest.raises(MachineError, match=r"`ls /nowhere` failed \(exit status 2\): .*No such file"):
        shared_connection.run("ls /nowhere")


def test_the_home_of_the_machine_is_not_the_laptops(
    shared_connection: Connection, shared_machine: OpenSshMachine
) -> None:
    assert shared_connection.run("cd; pwd").stdout.strip() == str(shared_machine.home)


def test_megabytes_both_ways_and_on_both_streams_arrive_whole(shared_connection: Connection) -> None:
    sent = os.urandom(3_000_000).hex().encode()
    result = shared_connection.run("tee /dev/stderr", stdin=sent)
    assert result.stdout.encode() == sent
    assert result.stderr.encode() == sent


def test_a_command_that_reads_nothing_of_its_input_still_ends(shared_connection: Connection) -> None:
    assert shared_connection.run("exit 4", stdin=b"x" * 20_000_000, check=False).exit_status == 4


def test_lines_come_as_they_are_printed(shared_connection: Connection) -> None:
    arrived: list[tuple[float, str]] = []
    shared_connection.run(
        "echo one; sleep 0.4; printf 'tw\\303'; sleep 0.1; printf '\\251\\nredrawn 1%%\\rredrawn 2%%\\nend'",
        on_line=lambda line: arrived.append((time.monotonic(), line)),
    )
    assert [line for _, line in arrived] == ["one", "twé", "redrawn 2%", "end"]
    assert arrived[1][0] - arrived[0][0] > 0.3


def test_a_command_that_hangs_is_given_up(shared_connection: Connection) -> None:
    with pytest.raises(MachineError, match=r"`sleep 30` did not finish within 0.3 s"):
        shared_connection.run("sleep 30", timeout_s=0.3)


def test_a_command_ended_by_a_signal_is_not_a_lost_connection(shared_connection: Connection) -> None:
    assert shared_connection.run("kill -9 $$", check=False).exit_status == -1
    with pytest.raises(MachineError, match="ended by a signal"):
        shared_connection.run("kill -9 $$")


def test_no_command_on_an_open_connection_waits_for_delayed_acknowledgements(
    shared_connection: Connection,
) -> None:
    """With Nagle's algorithm each command would take 40 ms."""
    link = shared_connection._transport.sock
    assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_broken_connection_is_named_as_such(machine: OpenSshMachine) -> None:
    with connect(host_of(machine)) as connection:
        cutter = threading.Timer(0.3, machine.cut_connections)
        cutter.start()
        with pytest.raises(MachineUnreachable, match="connection to box lost.*Run the command again"):
            connection.run("sleep 20")
        cutter.join()
        with pytest.raises(MachineUnreachable), connection.sftp() as sftp:
            sftp.listdir("/")
        with pytest.raises(MachineUnreachable):
            connection.run("true")


def test_another_host_key_is_refused_before_anything_is_sent(shared_machine: OpenSshMachine) -> None:
    stranger = keys.first_host_key(shared_machine.user_key, "x", "y").public_line
    with pytest.raises(HostKeyChanged) as refused:
        connect(host_of(shared_machine, stranger))
    message = str(refused.value)
    assert fingerprint(stranger) in message
    assert fingerprint(shared_machine.public_line) in message
    assert "Nothing was sent" in message


def test_without_a_pinned_host_key_no_machine_is_accepted(shared_machine: OpenSshMachine) -> None:
    with pytest.raises(HostKeyChanged):
        connect(replace(host_of(shared_machine), host_keys=()))


def test_a_host_key_of_another_kind_is_refused(shared_machine: OpenSshMachine, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", tmp_path / "rsa"], check=True)
    rsa = " ".join((tmp_path / "rsa.pub").read_text().split()[:2])
    with pytest.raises(HostKeyChanged):
        connect(host_of(shared_machine, rsa))


def test_a_key_that_known_hosts_trusts_does_not_count(shared_machine: OpenSshMachine, home: Path) -> None:
    (home / ".ssh").mkdir()
    (home / ".ssh" / "known_hosts").write_text(
        f"[127.0.0.1]:{shared_machine.port} {shared_machine.public_line}\n"
    )
    (home / ".ssh" / "config").write_text("Host *\n  StrictHostKeyChecking no\n")
    with pytest.raises(HostKeyChanged):
        connect(host_of(shared_machine, keys.first_host_key(shared_machine.user_key, "x", "y").public_line))


def test_either_of_two_pinned_host_keys_serves(shared_machine: OpenSshMachine) -> None:
    other = keys.first_host_key(shared_machine.user_key, "x", "y").public_line
    with connect(host_of(shared_machine, other, shared_machine.public_line)) as connection:
        assert connection.presented_key == shared_machine.public_line


def test_a_key_that_the_machine_does_not_know_is_named(
    shared_machine: OpenSshMachine, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    keys.ensure_key_pair(stranger)
    with pytest.raises(LoginRefused, match="does not accept the key"):
        connect(replace(host_of(shared_machine), key=stranger))


def test_a_bad_key_file_is_said_before_any_network(shared_machine: OpenSshMachine, tmp_path: Path) -> None:
    nowhere = replace(host_of(shared_machine), address="192.0.2.1")
    with pytest.raises(InputError, match="no SSH key here"):
        connect(replace(nowhere, key=tmp_path / "missing"))
    opened = tmp_path / "open"
    keys.ensure_key_pair(opened)
    opened.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        connect(replace(nowhere, key=opened))


def test_no_machine_at_the_address_is_one_clear_line(shared_machine: OpenSshMachine) -> None:
    with pytest.raises(MachineUnreachable, match=r"127.0.0.1:\d+ \(Connection refused\): no SSH answer"):
        connect(replace(host_of(shared_machine), port=free_port()))


@contextlib.contextmanager
def listener(answer: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer, _ = server.accept()
                with peer:
                    peer.sendall(answer)
                    peer.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        with contextlib.suppress(OSError), socket.create_connection(server.getsockname()):
            pass
        thread.join()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"SSH-2.0-x\r\nnonsense"])
def test_a_server_that_speaks_no_ssh_is_one_clear_line(shared_machine: OpenSshMachine, answer: bytes) -> None:
    with listener(answer) as port, pytest.raises(MachineUnreachable, match="no SSH answer"):
        connect(replace(host_of(shared_machine), port=port), timeout_s=0.5)


def test_waiting_ends_as_soon_as_the_machine_is_up(tmp_path: Path, report: Recorder) -> None:
    machine = OpenSshMachine(tmp_path / "late")
    booting = threading.Timer(0.7, machine.start)
    booting.start()
    try:
        with wait_for_ssh(host_of(machine), timeout_s=20, report=report) as connection:
            assert connection.run("echo up").stdout == "up\n"
    finally:
        booting.join()
        machine.stop()
    assert any(line.startswith("no SSH answer yet") for _, step, line in report.events if step == "ssh")


def test_waiting_has_an_end(shared_machine: OpenSshMachine, report: Recorder) -> None:
    with pytest.raises(MachineUnreachable):
        wait_for_ssh(replace(host_of(shared_machine), port=free_port()), timeout_s=0.4, report=report)


def test_a_changed_host_key_is_not_waited_for(shared_machine: OpenSshMachine, report: Recorder) -> None:
    stranger = keys.first_host_key(shared_machine.user_key, "x", "y").public_line
    began = time.monotonic()
    with pytest.raises(HostKeyChanged):
        wait_for_ssh(host_of(shared_machine, stranger), timeout_s=200, report=report)
    assert time.monotonic() - began < 100


def test_the_host_key_is_replaced_by_one_made_on_the_machine(machine: OpenSshMachine) -> None:
    first = machine.public_line
    with connect(host_of(machine)) as connection:
        pending = host_key.prepare(connection)
        assert host_key.prepare(connection) == pending != first
        with connect(host_of(machine, first)):
            pass  # nothing has changed yet
        host_key.activate(connection)
        host_key.activate(connection)
    machine.reload_host_keys()
    with connect(host_of(machine, pending)) as connection:
        assert connection.presented_key == pending
        assert machine.public_line == pending
        assert host_key.prepare(connection) != pending  # the next replacement is a new one
    with pytest.raises(HostKeyChanged):
        connect(host_of(machine, first))
    assert not list(machine.sshd_dir.glob("*.new*"))


def test_a_host_key_that_another_hand_replaced_meanwhile_is_not_replaced_again(
    machine: OpenSshMachine,
) -> None:
    with connect(host_of(machine)) as one, connect(host_of(machine)) as other:
        replaced = host_key.prepare(one)
        host_key.activate(one)
        # A process that dies now leaves a machine with the announced key.
        assert host_key.prepare(other) == replaced
        host_key.activate(other)
    assert machine.public_line == replaced


def test_importing_the_module_does_not_import_paramiko() -> None:
    probe = "import sys, gpu_box.machine.ssh.connection; sys.exit('paramiko' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0


def test_quoted_words_reach_the_command_as_they_are(shared_connection: Connection) -> None:
    words = ["a b", "c'd", "$HOME", "`x`", "~/it's here"]
    printed = shared_connection.run("printf '%s\\n' " + quote(*words)).stdout.splitlines()
    home = shared_connection.run('printf %s "$HOME"').stdout
    assert printed == ["a b", "c'd", "$HOME", "`x`", f"{home}/it's here"]


def test_more_output_than_any_answer_has_is_refused(shared_connection: Connection) -> None:
    with pytest.raises(MachineError, match=r"`yes` sent more than 8 MB of text"):
        shared_connection.run("yes")
    with pytest.raises(MachineError, match=r"`yes >&2` sent more than 8 MB of text"):
        shared_connection.run("yes >&2", on_data=lambda piece: None, timeout_s=None)
    assert shared_connection.run("echo on").stdout == "on\n"


def test_lines_that_are_read_as_they_come_may_be_many(shared_connection: Connection) -> None:
    """As of a set-up command that names each of its files."""
    counted = 0

    def take(line: str) -> None:
        nonlocal counted
        counted += 1

    done = shared_connection.run("yes 123456789 | head -n 900000; echo last", on_line=take)
    assert counted == 900_001
    assert (done.said, len(done.stdout)) == ("last", 65536)


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(60) for line in splitter.feed(b"x" * 50_000)]
    assert sum(map(len, lines)) + len(splitter.rest()) == 3_000_000
    assert max(map(len, lines)) <= 1 << 20
    for percent in range(100):
        splitter.feed(b"\r%d%%" % percent + b" " * 50_000)
    assert splitter.feed(b"\rdone\r\n") == ["done"]


def test_control_characters_of_the_box_are_shown_and_not_obeyed(shared_connection: Connection) -> None:
    result = shared_connection.run(r"printf 'a\tb\n\033]0;x\007'; printf '\302\233' >&2")
    assert (result.stdout, result.stderr) == ("a\tb\n\\x1b]0;x\\x07", "\\x9b")
