"""Every way into a box, against a server that has its host key and does not answer as a box does.

One clear line within the limits, which are made short here, and memory that does not grow.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from gpu_box.errors import MachineError
from gpu_box.machine import setup
from gpu_box.machine.files import sftp
from gpu_box.machine.files.selection import Entry
from gpu_box.machine.files.shared import Folder
from gpu_box.machine.files.transfer import Transfer
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh import command, connection, keys
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import Host
from tests.hostile.ssh_server import MOVES, Server
from tests.paths import REMOTE

from ..machine.conftest import Recorder

# Threads of paramiko may end with the channel.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
LIMIT_S = 0.6
_ENTRY = Entry(path="large", size=2_000_000, mtime=1_700_000_000, mode=0o644)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    keys.ensure_key_pair(path)
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connection, setup, command):
        for name in ("TIMEOUT_S", "STALLED_S", "CHECK_TIMEOUT_S", "REQUEST_S"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, LIMIT_S)


def check(host: Host, folder: Path) -> None:
    with connect(host, timeout_s=LIMIT_S) as link:
        setup.check(link, Desired(remote=REMOTE))


def fetch(host: Host, folder: Path) -> None:
    with connect(host, timeout_s=LIMIT_S) as link:
        sftp.fetch(link, transfer(folder, up=False), Folder(bytes(folder)))


def send(host: Host, folder: Path) -> None:
    (folder / "large").write_bytes(bytes(_ENTRY.size))
    with connect(host, timeout_s=LIMIT_S) as link:
        sftp.move(link, transfer(folder, up=True))


def transfer(folder: Path, *, up: bool) -> Transfer:
    return Transfer(here=folder, there="/home/u", entries=(_ENTRY,), up=up, report=Recorder(), step="sync")


WAYS: dict[str, Callable[[Host, Path], None]] = {"check": check, "fetch": fetch, "send": send}


@contextmanager
def served(move: str, key: Path) -> Iterator[Host]:
    with Server(move, paramiko.Ed25519Key.from_private_key_file(str(key))) as server:
        yield Host(
            name="box", address="127.0.0.1", port=server.port, user="ubuntu", key=key,
            host_keys=(keys.read_key_pair(key).line,),
        )  # fmt: skip


CASES = [
    (way, move) for move in MOVES for way in WAYS if way == "check" or (MOVES[move].sftp or "request" in move)
]


@pytest.mark.parametrize(("way", "move"), CASES, ids=lambda word: word.replace(" ", "-"))
def test_one_clear_line_in_bounded_time(way: str, move: str, key: Path, tmp_path: Path) -> None:
    with served(move, key) as host:
        began = time.monotonic()
        with pytest.raises(MachineError) as refused:
            WAYS[way](host, tmp_path)
        assert time.monotonic() - began < 20  # some limits, on a busy machine; the server waits longer
    said = str(refused.value)
    assert "\n" not in said
    assert said.isprintable()
    assert "box" in said or str(host.port) in said
    assert len(said) < 500


@pytest.mark.parametrize("move", ["output without end", "errors without end"])
def test_text_without_end_is_cut_by_its_size_long_before_its_time(
    move: str, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (command, connection):
        monkeypatch.setattr(module, "MOST_BYTES", 1_000_000)
    with served(move, key) as host, connect(host) as link, pytest.raises(MachineError) as refused:
        link.run("true", timeout_s=20)
    assert "sent more than 1 MB of text" in str(refused.value)


def test_a_box_that_answers_what_was_not_asked_is_not_heard_to_the_end(key: Path, tmp_path: Path) -> None:
    with served("SFTP: thousands of answers to nothing", key) as host, pytest.raises(MachineError) as refused:
        fetch(host, tmp_path)
    assert "SFTP does not know" in str(refused.value)


@pytest.mark.parametrize(
    ("move", "size"),
    [
        ("SFTP: the first piece of a file, then nothing", 30_000_000_000),  # as listed by the box
        ("SFTP: every piece of a file but the first", 200_000_000),
        ("SFTP: more of a file than was asked for", 4_000_000),
    ],
)
def test_a_large_file_of_a_box_does_not_fill_the_memory(
    move: str, size: int, key: Path, tmp_path: Path
) -> None:
    large = replace(transfer(tmp_path, up=False), entries=(_ENTRY._replace(size=size),))
    with served(move, key) as host, connect(host, timeout_s=LIMIT_S) as link:
        tracemalloc.start()
        try:
            with pytest.raises(MachineError):
                sftp.fetch(link, large, Folder(bytes(tmp_path)))
            assert tracemalloc.get_traced_memory()[1] < 64_000_000
        finally:
            tracemalloc.stop()
