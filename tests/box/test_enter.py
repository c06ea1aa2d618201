"""A machine that does not answer: the message and the remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_box.box import enter
from gpu_box.errors import MachineUnreachable

from ..aws.conftest import Laptop


@pytest.mark.parametrize(
    ("instance_type", "seconds"),
    [
        ("g4dn.xlarge", 300),
        ("g6.48xlarge", 300),
        ("p4d.24xlarge", 900),
        ("p6-b200.48xlarge", 900),
        ("g4dn.metal", 900),
        ("m7i.metal-24xl", 900),
    ],
)
def test_bare_metal_and_the_largest_types_are_given_longer_to_boot(instance_type: str, seconds: int) -> None:
    assert enter.ssh_wait_s(instance_type) == seconds


def test_the_message_says_which_address_was_let_in_and_how_to_name_another(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enter, "_SSH_WAIT_S", 0.2)
    mine = laptop()
    up = mine.up()
    assert up.instance is not None
    mine.cloud.ec2.create_tags(
        Resources=[up.instance.id], Tags=[{"Key": "gpu-box:ssh-port", "Value": "1"}]
    )  # where no server listens
    with (
        pytest.raises(MachineUnreachable) as unreachable,
        enter.enter(mine.cloud, mine.observe(), mine.report),
    ):
        pass
    assert "Port 22 allows 127.0.0.1/32." in str(unreachable.value)
    assert "`network.allow_ssh_from`" in str(unreachable.value)
    assert "no route to an internet gateway, set `network.subnet`" in str(unreachable.value)  # skypilot#2689
