"""A machine with the code of remote/."""

from __future__ import annotations

import pytest

from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import Connection
from tests.paths import REMOTE


@pytest.fixture
def box(connection: Connection) -> Connection:
    upload_remote.upload(connection, REMOTE)
    return connection
