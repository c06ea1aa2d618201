"""What machine/ssh needs of paramiko beyond its documentation: a failure names what an upgrade moved."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import fabric
import paramiko
import pytest

WHERE = "machine/ssh/connection.py"
PARAMIKO = f"paramiko {version('paramiko')}"


def test_the_time_for_a_key_exchange_can_be_set() -> None:
    read = paramiko.Transport.run.__code__.co_names
    assert "handshake_timeout" in read, (
        f"{PARAMIKO}: Transport no longer reads handshake_timeout, by which {WHERE} gives up on a machine "
        "that falls silent in the key exchange"
    )


@pytest.mark.parametrize("name", ["transport_factory", "banner_timeout", "auth_timeout", "sock", "pkey"])
def test_connect_takes_what_we_give_it(name: str) -> None:
    taken = inspect.signature(paramiko.SSHClient.connect).parameters
    assert name in taken, f"{PARAMIKO}: SSHClient.connect no longer takes {name}, which {WHERE} gives"


@pytest.mark.parametrize("name", ["client", "transport"])
def test_fabric_lends_its_client_and_transport(name: str) -> None:
    assert hasattr(fabric.Connection("127.0.0.1", config=fabric.Config(lazy=True)), name), (
        f"fabric {version('fabric')}: Connection has no {name}, which {WHERE} needs to verify the host "
        "key and to keep the connection alive"
    )
