"""Stopping needs EC2 only: if other AWS services do not answer, a note says so."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import find
from gpu_box.box.converge import converge
from gpu_box.cli.main import main
from gpu_box.errors import CloudError
from gpu_box.model.facts import Facts
from gpu_box.model.observed import InstanceState, Observed
from gpu_box.plan.steps import Step
from gpu_box.plan.up import plan_up

from .conftest import Laptop, Weather

OTHERS = ("IAM", "SCHEDULER", "PRICING", "SERVICE_QUOTAS", "SSM", "STS")


@pytest.fixture
def down(laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`down("IAM")`: the service's address refuses connections until the boxes are removed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"

    def make(*services: str) -> None:
        for service in services:
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", nowhere)

    yield make
    for service in OTHERS:
        monkeypatch.delenv(f"AWS_ENDPOINT_URL_{service}", raising=False)


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
    with pytest.raises(CloudError, match="the deadline in AWS cannot be armed now") as refused:
        converge(elsewhere.cloud, elsewhere.report, lambda seen: planned_up(elsewhere, seen))
    assert "nothing was changed" in str(refused.value)
    assert mine.observe().live[0].state is InstanceState.STOPPED


@pytest.mark.parametrize("service", ["IAM", "SCHEDULER"])
def test_a_running_box_whose_deadline_was_armed_can_still_be_entered(
    laptop: Callable[..., Laptop], down: Callable[..., None], service: str
) -> None:
    laptop().up()
    down(service)
    mine = laptop()
    seen = mine.observe()
    assert seen.instance is not None and seen.deadline_unread
    used = replace(seen.instance, host_key="ssh-ed25519 AAAA")
    assert planned_up(mine, replace(seen, instances=(used,))) == []
    longer = replace(mine.config.limits, max_hours=mine.config.limits.max_hours + timedelta(hours=1))
    changed = replace(mine.config, limits=longer)
    for box, limits in ((seen.instance, mine.config), (used, changed)):
        facts = Facts(
            observed=replace(seen, instances=(box,)),
            public_key=mine.public_key,
            rates=None,
            now=datetime.now(UTC),
        )
        with pytest.raises(CloudError, match="the deadline in AWS cannot be armed now"):
            plan_up(limits, facts)


def planned_up(mine: Laptop, seen: Observed) -> list[Step]:
    facts = Facts(observed=seen, public_key=mine.public_key, rates=None, now=datetime.now(UTC))
    return plan_up(mine.config, facts)


def test_a_region_without_scheduler_is_said_to_have_none(
    laptop: Callable[..., Laptop], down: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name does not resolve; with the user's consent, the other layers stop the box."""
    down("SCHEDULER")
    monkeypatch.setattr(Cloud, "is_offered", lambda self, service: False)
    with pytest.raises(CloudError, match="not offered in this region.*--without-deadline"):
        laptop().up()
    up = laptop(without_deadline=True).up()
    assert up.instance is not None
    assert up.deadline_unavailable == "EventBridge Scheduler is not offered in this region"


def test_what_was_launched_is_stopped_if_scheduler_does_not_answer(
    laptop: Callable[..., Laptop], down: Callable[..., None]
) -> None:
    down("SCHEDULER")
    mine = laptop()
    with pytest.raises(CloudError, match="the instance was stopped"):
        mine.up()
    [instance] = mine.observe().live
    assert instance.state is InstanceState.STOPPED


FULL = {
    "service": "scheduler", "operation": "CreateSchedule", "times": 0,
    "code": "ServiceQuotaExceededException",
}  # fmt: skip


def test_what_was_launched_is_stopped_if_its_deadline_cannot_be_armed(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(faults=[FULL])
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


@pytest.fixture
def stopped_box(laptop: Callable[..., Laptop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of a stopped box, on a laptop without prices."""
    mine = laptop()
    mine.up()
    mine.stop()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-prices-yet"))
    config = tmp_path / "config.yaml"
    config.write_text(
        f"name: {mine.config.name}\nregion: us-east-1\nssh:\n  key: {mine.config.ssh.key}\n"
        "network:\n  allow_ssh_from: 127.0.0.1/32\n"
    )
    return config


@pytest.mark.parametrize("services", [(service,) for service in OTHERS] + [OTHERS], ids="-".join)
def test_commands_that_only_look_end_with_0(
    stopped_box: Path,
    down: Callable[..., None],
    services: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    down(*services)
    for command in ("status", "ls", "cost"):
        code = main(["--config", str(stopped_box), command])
        assert code == 0, f"{command}: {capsys.readouterr().err}"


@pytest.mark.parametrize(("service", "code"), [("IAM", 1), ("SCHEDULER", 1), ("SERVICE_QUOTAS", 0)])
def test_plan_says_in_one_line_that_the_deadline_cannot_be_armed(
    stopped_box: Path,
    down: Callable[..., None],
    service: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    down(service)
    assert main(["--config", str(stopped_box), "plan"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == code
    assert all("the deadline in AWS cannot be armed now" in line for line in lines)
