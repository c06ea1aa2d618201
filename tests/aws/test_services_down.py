"""EC2 alone is needed to stop the meter: other services of AWS that do not answer are a note."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import find
from gpu_box.box.converge import converge
from gpu_box.errors import CloudError
from gpu_box.model.facts import Facts
from gpu_box.model.observed import InstanceState, Observed
from gpu_box.plan.steps import Step
from gpu_box.plan.up import plan_up

from .conftest import Laptop, Weather

OTHERS = ("IAM", "SCHEDULER", "PRICING", "SERVICE_QUOTAS", "SSM", "STS")


@pytest.fixture
def down(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`down("IAM")`: from now on nothing listens where the SDK looks for it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"

    def make(*services: str) -> None:
        for service in services:
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", nowhere)

    return make


@pytest.mark.parametrize("services", [("IAM",), ("SCHEDULER",), OTHERS])
def test_stop_status_and_down_need_ec2_alone(
    laptop: Callable[..., Laptop], down: Callable[..., None], services: tuple[str, ...]
) -> None:
    laptop().up()
    down(*services)
    mine = laptop()  # with clients of its own
    seen = find.observe_box(mine.cloud)
    assert seen.instance is not None and seen.deadline_unread
    assert read_price_of(mine.cloud, seen.instance).hour is not None
    stopped = mine.stop().instance
    assert stopped is not None and stopped.state is InstanceState.STOPPED
    assert mine.down().live == ()
    assert any("run `gpu-box down` again later" in line for line in mine.report.lines)


@pytest.mark.parametrize("service", ["IAM", "SCHEDULER"])
def test_nothing_is_started_that_aws_may_not_stop(
    laptop: Callable[..., Laptop], down: Callable[..., None], service: str
) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    down(service)
    elsewhere = laptop()
    with pytest.raises(CloudError, match="deadline cannot be armed now") as refused:
        converge(elsewhere.cloud, elsewhere.report, lambda seen: planned_up(elsewhere, seen))
    assert "nothing was changed" in str(refused.value)
    assert mine.observe().live[0].state is InstanceState.STOPPED


def planned_up(mine: Laptop, seen: Observed) -> list[Step]:
    facts = Facts(observed=seen, public_key=mine.public_key, rates=None, now=datetime.now(UTC))
    return plan_up(mine.config, facts)


def test_a_region_without_scheduler_is_said_to_have_none(
    laptop: Callable[..., Laptop], down: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name does not resolve there; the other layers stop the box."""
    down("SCHEDULER")
    monkeypatch.setattr(Cloud, "is_offered", lambda self, service: False)
    mine = laptop()
    up = mine.up()
    assert up.instance is not None
    assert up.deadline_unavailable == "EventBridge Scheduler is not offered in this region"


def test_what_was_launched_is_stopped_if_its_deadline_cannot_be_armed(
    laptop: Callable[..., Laptop], down: Callable[..., None]
) -> None:
    down("SCHEDULER")
    mine = laptop()
    with pytest.raises(CloudError, match="the instance was stopped"):
        mine.up()
    [instance] = mine.observe().live
    assert instance.state is InstanceState.STOPPED


@pytest.mark.parametrize("service", ["iam", "scheduler", "pricing", "service-quotas"])
def test_stop_and_down_without_permission_for_the_others(
    laptop: Callable[..., Laptop], weather: Weather, service: str
) -> None:
    mine = laptop()
    mine.up()
    fault = {"service": service, "operation": "*", "code": "AccessDenied", "status": 403, "times": 0}
    weather(faults=[fault])
    stopped = mine.stop().instance
    assert stopped is not None and stopped.state is InstanceState.STOPPED
    assert mine.down().live == ()
