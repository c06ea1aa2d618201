"""`stop` ends in `stopped`, or says that the box still bills; it never reports a success that AWS refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_box.aws.steps import instance
from gpu_box.errors import CloudError
from gpu_box.model.observed import InstanceState

from ..faults.faults import FAULTS, Killed, Saboteur
from .conftest import Laptop, Weather

Pending = Callable[[float], Laptop]


@pytest.fixture
def pending(laptop: Callable[..., Laptop], weather: Weather) -> Pending:
    """A box whose `up` was killed right after the launch; it takes so many seconds to start."""

    def launch(seconds: float) -> Laptop:
        weather(delays={"pending": seconds})
        dying = laptop()
        Saboteur(("RunInstances", 1), FAULTS["killed after"]).follow(dying.cloud)
        with pytest.raises(Killed):
            dying.up()
        return laptop()

    return launch


def test_a_box_that_is_still_starting_is_stopped_as_soon_as_aws_accepts_it(pending: Pending) -> None:
    mine = pending(5.0)  # long enough for `stop` to come first, also on a busy machine
    stopped = mine.stop().instance
    assert stopped is not None and stopped.state is InstanceState.STOPPED
    assert any("once it has started" in line for line in mine.report.lines)


def test_a_stop_that_aws_never_accepts_is_an_error_that_says_that_it_bills(
    pending: Pending, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = pending(30)
    monkeypatch.setattr(instance, "_STOP_S", 0.5)
    with pytest.raises(CloudError, match="it still bills"):
        mine.stop()
