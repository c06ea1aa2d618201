"""When a stopped box counts as forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gpu_box.model.observed import Instance, InstanceState
from gpu_box.model.stop_reason import is_forgotten, stopped_for

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FORTNIGHT = timedelta(days=14)


def box(
    state: InstanceState = InstanceState.STOPPED, *, transition: str = "", launched_days: int = 30
) -> Instance:
    return Instance(
        id="i-0",
        state=state,
        type="g4dn.xlarge",
        zone="us-east-1a",
        launched=NOW - timedelta(days=launched_days),
        transition=transition,
    )


@pytest.mark.parametrize("state", [state for state in InstanceState if state is not InstanceState.STOPPED])
def test_only_what_is_stopped_lies(state: InstanceState) -> None:
    assert stopped_for(box(state), NOW) is None
    assert not is_forgotten(box(state), NOW, after=timedelta(0))


def test_the_time_counts_from_the_stop() -> None:
    stopped = box(transition="User initiated (2026-11-06 12:00:00 GMT)", launched_days=100)
    assert stopped_for(stopped, NOW) == FORTNIGHT
    assert not is_forgotten(stopped, NOW, after=FORTNIGHT)
    assert is_forgotten(stopped, NOW + timedelta(seconds=1), after=FORTNIGHT)


def test_of_one_that_shut_itself_down_it_counts_from_its_start() -> None:
    assert stopped_for(box(transition="", launched_days=15), NOW) == timedelta(days=15)
