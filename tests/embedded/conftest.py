"""A real daemon on loopback, spoken to by a real boto3.

One for the whole folder, emptied before each test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_box.embedded import daemon

from .cloud import Cloud, KeyFile, make_key


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home = tmp_path_factory.mktemp("cloud")
    yield Cloud(home)
    daemon.stop(home)


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    shared_cloud.empty()
    return shared_cloud


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path)
