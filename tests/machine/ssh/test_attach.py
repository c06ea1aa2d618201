"""`gpu-box ssh -- CMD` through the system's own ssh and sshd: streams, exit status, signals."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.model.machine import Host

from ..conftest import host_of

SCRIPT = """
import pickle, sys
from gpu_box.machine.ssh import attach
sys.exit(attach.run(pickle.loads(bytes.fromhex(sys.argv[1])), sys.argv[2:]))
"""
Started = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def host(shared_machine: OpenSshMachine, home: Path) -> Host:
    return host_of(shared_machine)


@pytest.fixture
def command(host: Host) -> Iterator[Started]:
    """`command("cat", "a b")` there, on pipes."""

    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, pickle.dumps(host).hex(), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate(timeout=30)


def test_streams_and_exit_status_are_the_command_s(command: Started) -> None:
    sent = os.urandom(300_000)
    done = command("cat; echo failed >&2; exit 7")
    out, err = done.communicate(sent, timeout=30)
    assert (out, err, done.returncode) == (sent, b"failed\n", 7)
    done = command("printf", "%s|", "$HOME", "a  b", "it's")
    assert done.communicate(timeout=30)[0] == b"$HOME|a  b|it's|"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_which_may_end_as_it_likes(command: Started, number: int) -> None:
    name = signal.Signals(number).name.removeprefix("SIG")
    done = command(f"trap 'echo {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done")
    assert done.stdout and done.stdout.readline() == b"ready\n"
    done.send_signal(number)
    assert done.communicate(timeout=30)[0] == f"{name}\n".encode()
    assert done.returncode == 9


def test_a_command_that_a_signal_ends_is_gone_and_nothing_is_left_of_it(command: Started) -> None:
    done = command("echo $$; exec sleep 300")
    assert done.stdout
    there = Path("/proc") / done.stdout.readline().decode().strip()
    assert there.exists()
    done.send_signal(signal.SIGTERM)
    assert done.wait(30) == 128 + signal.SIGTERM
    deadline = time.monotonic() + 60
    while there.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not there.exists()
    reported = re.compile(r"gpu-box-[0-9a-f]{16}")
    assert [path for path in Path("/tmp").iterdir() if reported.fullmatch(path.name)] == []
