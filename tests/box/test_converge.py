"""`up`, `stop` and `down` in AWS: never more than one instance, and nothing left after `down`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from gpu_box.aws import deadline
from gpu_box.aws.observe import observe_all
from gpu_box.box import find, stop
from gpu_box.box.preview import preview
from gpu_box.config.model import Network
from gpu_box.errors import CloudUnreachable
from gpu_box.model.observed import InstanceState

from ..aws.conftest import Laptop

READS = ("Describe", "Get", "List")


def record_calls(laptop: Laptop) -> list[str]:
    """The operation of every call that is sent, retries included."""
    calls: list[str] = []
    for service in ("ec2", "iam", "scheduler", "ssm"):
        laptop.cloud.client(service).meta.events.register_first(
            "before-send.*.*", lambda event_name, **_: calls.append(event_name.rsplit(".", 1)[1])
        )
    return calls


def test_from_nothing_to_running_to_nothing(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    calls = record_calls(mine)
    seen = mine.up()
    assert seen.instance is not None
    assert seen.instance.state is InstanceState.RUNNING
    assert seen.instance.address
    assert seen.deadline is not None
    assert seen.deadline.instance_id == seen.instance.id
    assert seen.group is not None
    assert seen.group.ssh_from == {ip_network("127.0.0.1/32")}
    assert calls.index("CreateRole") < calls.index("RunInstances")

    down = mine.down()
    assert down.nothing_left
    assert [
        row for row in observe_all(mine.cloud) if row.box == mine.config.name and row.instance.exists
    ] == []


def test_up_on_a_finished_box_only_reads_and_reads_once(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    mine.up()  # it also looks for the user's stopped boxes, once a day
    calls = record_calls(mine)
    mine.up()
    assert [c for c in calls if not c.startswith(READS)] == []
    assert len(calls) <= 6, calls


def test_a_stopped_box_is_started_after_its_deadline_is_moved(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    first = mine.up()
    stopped = mine.stop()
    assert stopped.instance is not None
    assert stopped.instance.state is InstanceState.STOPPED
    calls = record_calls(mine)
    again = mine.up()
    assert again.instance is not None
    assert first.instance is not None
    assert again.instance.id == first.instance.id
    writes = [c for c in calls if not c.startswith(READS)]
    assert writes[-1] == "StartInstances"


def test_what_a_session_cost_outlives_the_next_start(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    first = mine.up().instance
    assert first is not None
    mine.stop()
    again = mine.up().instance
    assert again is not None
    assert again.launched > first.launched
    assert again.spent_until == first.launched
    [(day, usd)] = again.spent
    # A minute, EC2's minimum, of a g4dn.xlarge and an address, to the tenth of a cent.
    assert day == first.launched.date()
    assert usd == Decimal("0.009")


def test_our_own_stop_is_known_from_any_other(laptop: Callable[..., Laptop]) -> None:
    mine = laptop(owner="ada")
    mine.up()
    cause = find.stopped_because(mine.cloud, mine.stop())
    assert cause is not None
    assert (cause.layer, cause.reason) == ("command", "gpu-box stop, by ada")
    assert cause.at is not None
    started = mine.up().instance
    assert started is not None
    mine.cloud.ec2.stop_instances(InstanceIds=[started.id])  # as from the console
    other = find.stopped_because(mine.cloud, mine.stop())
    assert other is not None
    assert (other.layer, other.at) != (cause.layer, cause.at)


def test_the_deadline_stops_the_box_from_outside_and_is_named_as_the_reason(
    laptop: Callable[..., Laptop],
) -> None:
    mine = laptop()
    seen = mine.up()
    assert seen.instance is not None
    assert seen.deadline is not None
    at = datetime.now(UTC) + timedelta(seconds=2)
    deadline.arm(mine.cloud, instance_id=seen.instance.id, at=at, role_arn=seen.deadline.role_arn)
    give_up = time.monotonic() + 60
    while (seen := mine.observe()).instance is None or seen.instance.state is not InstanceState.STOPPED:
        assert time.monotonic() < give_up
        time.sleep(0.2)
    cause = find.stopped_because(mine.cloud, seen)
    assert cause is not None
    assert cause.layer == "deadline"
    # The old schedule has passed, so the next `up` arms a new one before it starts the instance.
    again = mine.up()
    assert again.deadline is not None
    assert again.deadline.at > datetime.now(UTC) + timedelta(hours=11)


def test_two_laptops_at_once_end_with_one_instance(laptop: Callable[..., Laptop]) -> None:
    one, two = laptop(), laptop()
    seen: list[str | None] = []

    def bring_up(which: Laptop) -> None:
        instance = which.up().instance
        seen.append(instance.id if instance else None)

    threads = [threading.Thread(target=bring_up, args=(which,)) for which in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert len(one.observe().live) == 1


@pytest.mark.parametrize(
    "operation",
    ["RunInstances", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "ImportKeyPair", "CreateRole"],
)
def test_an_answer_that_is_lost_makes_no_second_one(
    laptop: Callable[..., Laptop], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request takes effect, its answer is lost, the SDK gives up; then `up` runs again."""
    mine = laptop()
    lost: list[str] = []
    for service in ("ec2", "iam"):
        client = mine.cloud.client(service)

        def lose_answer(
            request: object, event_name: str, endpoint: object = client._endpoint, **_: object
        ) -> None:
            if event_name.endswith(f".{operation}") and not lost:
                lost.append(event_name)
                endpoint.http_session.send(request)  # type: ignore[attr-defined]
                raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

        client.meta.events.register_first("before-send.*.*", lose_answer)
    observed = mine.up()
    assert lost
    assert len(observed.live) == 1

    assert mine.down().nothing_left


def test_another_life_of_the_box_is_another_instance(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    first = mine.up().instance
    mine.down()
    second = mine.up().instance
    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_an_instance_terminated_in_the_console_is_replaced(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    first = mine.up().instance
    assert first is not None
    mine.cloud.ec2.terminate_instances(InstanceIds=[first.id])
    second = mine.up().instance
    assert second is not None
    assert second.id != first.id


def test_a_laptop_that_moved_gets_in_and_its_old_address_does_not(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    cafe = ip_network("2001:db8::7/128")
    moved = laptop(network=Network(allow_ssh_from=(cafe,)))
    group = moved.up().group
    assert group is not None
    assert group.ssh_from == {cafe}


ANYWHERE = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
ADA = {"IpRanges": [{"CidrIp": "203.0.113.9/32", "Description": "ada"}]}
HER_IPV6 = {"Ipv6Ranges": [{"CidrIpv6": "2001:db8::9/128"}]}


@pytest.mark.parametrize(
    ("permission", "line"),
    [
        ({"FromPort": 8888, "ToPort": 8888, **ANYWHERE}, "tcp 8888 from 0.0.0.0/0"),
        ({"FromPort": 6000, "ToPort": 6010, **ANYWHERE}, "tcp 6000-6010 from 0.0.0.0/0"),
        ({"FromPort": 22, "ToPort": 22, **ADA}, "tcp 22 from 203.0.113.9/32 (ada)"),
        ({"FromPort": 22, "ToPort": 22, **HER_IPV6}, "tcp 22 from 2001:db8::9/128"),
        ({"IpProtocol": "-1", **ANYWHERE}, "everything from 0.0.0.0/0"),
    ],
)
def test_a_rule_added_by_hand_is_reported_and_kept_until_the_user_consents(
    permission: dict[str, Any], line: str, laptop: Callable[..., Laptop]
) -> None:
    mine = laptop()
    group = mine.up().group
    assert group is not None and group.foreign == ()
    added = {"IpProtocol": "tcp", **permission}
    mine.cloud.ec2.authorize_security_group_ingress(GroupId=group.id, IpPermissions=[added])
    assert preview(mine.cloud).steps == ()
    seen = mine.up().group
    assert seen is not None
    assert seen.foreign == (line,)
    assert seen.ssh_from == {ip_network("127.0.0.1/32")}
    stop.remove_foreign_rules(mine.cloud, ["tcp 1 from 0.0.0.0/0"], mine.report)
    assert mine.observe().group == seen, "what was not consented to stays"
    stop.remove_foreign_rules(mine.cloud, seen.foreign, mine.report)
    assert mine.observe().group == group


def test_an_address_that_was_admitted_by_hand_is_not_added_again(
    laptop: Callable[..., Laptop],
) -> None:
    mine = laptop()
    group = mine.up().group
    assert group is not None
    cafe = ip_network("203.0.113.9/32")
    by_hand = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": str(cafe)}]}
    mine.cloud.ec2.authorize_security_group_ingress(GroupId=group.id, IpPermissions=[by_hand])
    there = laptop(network=Network(allow_ssh_from=(cafe,))).up().group
    assert there is not None
    assert (there.ssh_from, there.ssh_from_foreign) == (frozenset(), {cafe})


def test_the_caller_s_address_is_asked_where_the_cloud_says(
    aws: dict[str, str], laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = laptop(network=Network())
    assert [str(c) for c in asking.observe().caller] == ["127.0.0.1/32"]
    monkeypatch.setenv("GPU_BOX_CHECKIP_URL", "http://127.0.0.1:9/")
    with pytest.raises(CloudUnreachable, match="allow_ssh_from"):
        asking.observe()
