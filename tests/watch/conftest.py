from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from watcher_box import Box
from webhook import Webhook, webhook


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    box.policy()
    yield box
    for watcher in box.watchers:
        watcher.kill()
        watcher.wait(10)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
