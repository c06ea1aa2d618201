"""A machine that does not answer: what the user reads, and can do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_box.box import enter
from gpu_box.errors import MachineUnreachable

from ..aws.conftest import Laptop


def test_the_message_says_which_address_was_let_in_and_how_to_name_another(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enter, "_SSH_WAIT_S", 0.2)
    mine = laptop()
    up = mine.up()
    assert up.instance is not None
    mine.cloud.ec2.create_tags(
        Resources=[up.instance.id], Tags=[{"Key": "gpu-box:ssh-port", "Value": "1"}]
    )  # where nothing listens
    with (
        pytest.raises(MachineUnreachable) as unreachable,
        enter.enter(mine.cloud, mine.observe(), mine.report),
    ):
        pass
    assert "Port 22 lets in 127.0.0.1/32." in str(unreachable.value)
    assert "`network.allow_ssh_from`" in str(unreachable.value)
