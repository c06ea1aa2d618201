"""A command on one box, in a region where a team has many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from gpu_box.aws.observe import Need, observe

from .conftest import Laptop


def _read_by(laptop: Laptop, need: Need) -> set[str]:
    """The instances that AWS sends for one observation."""
    sent: set[str] = set()

    def note(parsed: dict[str, Any], **_: Any) -> None:
        sent.update(i["InstanceId"] for r in parsed.get("Reservations", ()) for i in r["Instances"])

    laptop.cloud.ec2.meta.events.register("after-call.ec2.DescribeInstances", note)
    observe(laptop.cloud, need=need)
    return sent


@pytest.mark.parametrize("need", [need for need in get_args(Need) if need not in ("everything", "plan")])
def test_a_command_does_not_read_a_colleagues_boxes(laptop: Callable[..., Laptop], need: Need) -> None:
    mine = laptop()
    hers = Laptop(replace(mine.config, name=f"{mine.config.name}-hers", owner="ada"))
    own = mine.up().instance
    hers.up()
    hers.stop()
    assert own is not None
    assert _read_by(mine, need) == {own.id}
    hers.down()


def test_down_keeps_the_role_that_a_colleagues_box_needs(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    hers = Laptop(replace(mine.config, name=f"{mine.config.name}-hers", owner="ada"))
    mine.up()
    hers.up()
    assert mine.observe().region_in_use
    mine.down()
    assert hers.observe().deadline_role_arn
    hers.down()
    assert not hers.observe().region_in_use
