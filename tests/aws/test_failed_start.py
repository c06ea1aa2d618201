"""AWS accepts a launch or a start that then fails: `up` reports why at once, or tries the next placement."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_box.errors import CapacityError, CloudError, QuotaError
from gpu_box.model.observed import InstanceState

from .conftest import Laptop, Weather

NO_ROOM = "Server.InsufficientInstanceCapacity"


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("Client.InternalError", CloudError, "kms:CreateGrant"),
        ("Client.InvalidKMSKey.InvalidState", CloudError, "KMS key"),
        ("Client.VolumeLimitExceeded", QuotaError, "Service Quotas"),
        ("Server.InternalError", CloudError, "Internal error on launch"),
    ],
)
@pytest.mark.parametrize("before", ["nothing", "stopped"])
def test_the_reason_is_reported_at_once_and_a_later_up_finishes(
    laptop: Callable[..., Laptop], weather: Weather, before: str, code: str, kind: type[CloudError], said: str
) -> None:
    mine = laptop()
    if before == "stopped":
        mine.up()
        mine.stop()
    weather(delays={"pending": 0.3}, launch_failures=[{"code": code}])
    with pytest.raises(kind, match=said) as refused:
        mine.up()
    assert refused.value.code == code
    assert [one.state for one in laptop().up().live] == [InstanceState.RUNNING]


def test_where_there_was_no_room_after_all_the_next_place_is_taken(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(zones=("us-east-1a", "us-east-1b"))
    weather(
        delays={"shutting-down": 3}, launch_failures=[{"code": NO_ROOM, "zone": "us-east-1a", "times": 0}]
    )
    up = mine.up()
    assert [(one.zone, one.state) for one in up.live] == [("us-east-1b", InstanceState.RUNNING)]
    assert up.deadline is not None and up.instance is not None
    assert up.deadline.instance_id == up.instance.id
    assert any("no g4dn.xlarge left in us-east-1a after all" in line for line in mine.report.lines)


@pytest.mark.parametrize("code", [NO_ROOM, "Client.InternalError"])
def test_a_spot_launch_that_failed_leaves_no_request_that_launches_again(
    laptop: Callable[..., Laptop], weather: Weather, code: str
) -> None:
    mine = laptop(market="spot", zones=("us-east-1a",))
    weather(delays={"spot-relaunch": 1.0}, launch_failures=[{"code": code}])
    with pytest.raises(CloudError):
        mine.up()
    weather(delays={"spot-relaunch": 0.0})
    seen = mine.observe()
    assert (seen.live, seen.spot_requests) == ((), ())


def test_no_room_after_all_in_any_place_is_a_lack_of_capacity(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(zones=("us-east-1a", "us-east-1b"))
    weather(launch_failures=[{"code": NO_ROOM, "times": 0}])
    with pytest.raises(CapacityError, match="after all"):
        mine.up()
    assert mine.observe().live == ()


def test_no_room_after_all_for_a_stopped_box_keeps_it(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop()
    found = mine.up().instance
    mine.stop()
    weather(delays={"pending": 0.3}, launch_failures=[{"code": NO_ROOM}])
    with pytest.raises(CapacityError, match="after all"):
        mine.up()
    [kept] = mine.observe().live
    assert found is not None
    assert (kept.id, kept.state) == (found.id, InstanceState.STOPPED)
