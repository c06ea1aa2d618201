"""A spot box: it has a persistent request, which `down` cancels first; otherwise like any other."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from testbed.cloud import wait_until

from gpu_box.aws.steps import instance
from gpu_box.box import image
from gpu_box.errors import CapacityError, CloudError
from gpu_box.model.observed import BAKED, InstanceState

from .conftest import Laptop, Weather


def test_a_spot_box_is_stopped_started_and_removed_like_any_other(laptop: Callable[..., Laptop]) -> None:
    mine = laptop(market="spot")
    first = mine.up()
    assert first.instance is not None
    assert first.instance.market == "spot"
    [request] = first.spot_requests
    assert (request.instance_id, request.state) == (first.instance.id, "active")
    assert mine.stop().instance is not None
    again = mine.up()
    assert again.instance is not None
    assert again.instance.id == first.instance.id
    assert [one.id for one in again.spot_requests] == [request.id]
    down = mine.down()
    assert down.nothing_left


def test_down_cancels_the_request_before_its_instance_goes(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    """Otherwise AWS launches another instance, which costs money unnoticed."""
    weather(delays={"spot-relaunch": 0.0})
    mine = laptop(market="spot")
    mine.up()
    calls: list[str] = []
    mine.cloud.ec2.meta.events.register(
        "before-send.ec2.*", lambda event_name, **_: calls.append(event_name.rsplit(".", 1)[1])
    )
    mine.down()
    assert calls.index("CancelSpotInstanceRequests") < calls.index("TerminateInstances")
    time.sleep(0.5)
    assert mine.observe().live == ()


def test_a_box_that_aws_took_back_is_left_to_aws_to_start(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(market="spot")
    first = mine.up().instance
    assert first is not None
    weather(spot_capacity={"*": {"*": 0}}, spot_notice_s=0.1)
    wait_until(lambda: mine.observe().live[0].state is InstanceState.STOPPED)
    with pytest.raises(CapacityError) as refused:
        mine.up()
    assert "starts it by itself" in refused.value.what
    assert [one.id for one in mine.observe().live] == [first.id]


def test_a_box_that_was_just_stopped_starts_as_soon_as_its_request_has_followed(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(delays={"spot-follows": 6.0})
    mine = laptop(market="spot")
    first = mine.up().instance
    mine.stop()
    again = mine.up().instance
    assert first is not None and again is not None
    assert (again.id, again.state) == (first.id, InstanceState.RUNNING)
    assert any("AWS is still stopping its spot request" in line for line in mine.report.lines)


def test_a_request_that_never_follows_is_not_blamed_on_capacity(
    laptop: Callable[..., Laptop], weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "_REQUEST_S", 0.5)
    weather(delays={"spot-follows": 60})
    mine = laptop(market="spot")
    mine.up()
    mine.stop()
    with pytest.raises(CloudError, match="still being stopped") as refused:
        mine.up()
    assert not isinstance(refused.value, CapacityError)


def test_a_baked_spot_box_runs_again(laptop: Callable[..., Laptop], weather: Weather) -> None:
    weather(delays={"spot-follows": 1.0})
    mine = laptop(market="spot")
    mine.up()
    made = image.begin(mine.cloud, BAKED, mine.report)
    mine.up()
    baked = image.end(mine.cloud, made, mine.report)
    assert [one.state for one in baked.live] == [InstanceState.RUNNING]
    assert [one.state for one in baked.images] == ["available"]


def test_spot_alone_is_never_paid_for_on_demand(laptop: Callable[..., Laptop], weather: Weather) -> None:
    weather(spot_capacity={"*": {"*": 0}})
    mine = laptop(market="spot", zones=("us-east-1a",))
    with pytest.raises(CapacityError) as refused:
        mine.up()
    assert "g4dn.xlarge in us-east-1a, spot" in refused.value.what
    assert mine.observe().live == ()


def test_where_there_is_no_spot_on_demand_is_taken_if_so_asked(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(spot_capacity={"*": {"*": 0}})
    mine = laptop(market="spot-then-on-demand", zones=("us-east-1a",))
    up = mine.up()
    assert up.instance is not None
    assert up.instance.market == "on-demand"
    assert up.spot_requests == ()
