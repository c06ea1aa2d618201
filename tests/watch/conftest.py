from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebook_server import program, server  # noqa: F401 - fixtures
from watcher_box import Box
from webhook import Webhook, webhook


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    box.policy()
    yield box
    for watcher in box.watchers:
        watcher.kill()
        watcher.wait(60)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def start():
    """start(*argv) -> Popen; each process group is killed afterwards."""
    started = []

    def start(*argv, **options) -> subprocess.Popen:
        started.append(subprocess.Popen(argv, start_new_session=True, **options))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait(60)
