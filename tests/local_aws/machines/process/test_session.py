"""SSH sessions: commands, terminals, files, forwarding."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import paramiko
from testbed.cloud import wait_until
from testbed.ssh import Ssh

from .... import needs
from ...process_box import connected


def test_a_command_runs_in_the_machines_home_and_its_status_comes_back(ssh: Ssh, machine_home: Path) -> None:
    done = ssh.run("pwd; echo $HOME; echo oops >&2; exit 3")
    assert done.returncode == 3
    assert done.stdout.decode().split() == [str(machine_home), str(machine_home)]
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
        assert channel.recv_exit_status() == -1  # paramiko's value for "no status"


def test_many_sessions_share_a_connection(ssh: Ssh) -> None:
    with connected(ssh) as client:
        # Each waits for all of the others.
        met = "mkdir -p met; touch met/{0}; until [ $(ls met | wc -l) = 8 ]; do sleep 0.05; done; echo {0}"
        running = [client.exec_command(met.format(n)) for n in range(8)]
        assert [out.read().decode().strip() for _, out, _ in running] == [str(n) for n in range(8)]


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
        # The program itself reports that it runs: by then the shell has given it the terminal.
        shell.send(b"PS1=ask''ing; sh -c 'echo rea\"\"dy; exec sleep 60'; echo still''here\n")
        read_until(shell, "ready")
        shell.send(b"\x03")
        assert "stillhere" not in read_until(shell, "asking")
        # Only now: a shell may discard input while it takes its terminal back.
        shell.send(b"echo ba''ck; exit\n")
        read_until(shell, "back")


def test_closing_a_terminal_hangs_up_what_runs_in_it(ssh: Ssh, machine_home: Path) -> None:
    with connected(ssh) as client:
        shell = client.invoke_shell()
        shell.send(b"trap 'echo gone > hup; exit' HUP; echo rea''dy; while :; do sleep 0.05; done\n")
        read_until(shell, "ready")
    wait_until(lambda: (machine_home / "hup").exists())


def test_files_go_both_ways_by_sftp(ssh: Ssh, machine_home: Path, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    with connected(ssh) as client, client.open_sftp() as sftp:
        assert sftp.normalize(".") == str(machine_home)
        with sftp.open("relative.bin", "wb") as file:
            file.set_pipelined()
            file.write(content)
        assert (machine_home / "relative.bin").read_bytes() == content
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


@needs.rsync
def test_rsync_copies_a_tree_and_then_only_what_changed(ssh: Ssh, machine_home: Path, tmp_path: Path) -> None:
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
    assert (machine_home / "project/a").read_bytes() == (source / "a").read_bytes()
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


def test_small_commands_are_not_delayed_by_nagle(ssh: Ssh) -> None:
    with connected(ssh) as client:
        client.exec_command("true")[1].channel.recv_exit_status()
        took = []
        for _ in range(10):
            started = time.monotonic()
            client.exec_command("true")[1].channel.recv_exit_status()
            took.append(time.monotonic() - started)
        # The fastest: a busy machine delays some of them, Nagle every one.
        assert min(took) < 0.4 / 2, "a delayed ACK costs 40 ms a round trip"


def read_until(channel: paramiko.Channel, text: str) -> str:
    channel.settimeout(60)
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


def test_after_a_reader_that_went_away_new_commands_still_answer(ssh: Ssh) -> None:
    """A watcher that was left on a file kept the next command with the same file number from being heard."""
    for _ in range(5):
        with connected(ssh) as client:
            client.exec_command("while echo begun; do :; done")[1].readline()
        for number in range(3):
            with connected(ssh) as client:
                _, stdout, _ = client.exec_command(f"cat; sleep 0.05; echo {number}", timeout=20)
                stdout.channel.shutdown_write()
                assert stdout.read().decode() == f"{number}\n"
