"""Reads one instance from AWS's answer, with any tag values and missing fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_box.aws import tags
from gpu_box.aws.deadline import parse_schedule
from gpu_box.aws.instance import parse_instance
from gpu_box.box.find import host_at
from gpu_box.config.model import Config
from gpu_box.errors import CloudError
from gpu_box.machine.ssh.keys import ensure_key_pair
from gpu_box.model.facts import Facts
from gpu_box.model.observed import InstanceState, Observed
from gpu_box.plan import box as plan
from gpu_box.plan.steps import StopInstance, Terminate
from gpu_box.plan.up import plan_up

ID = "i-0e5c1e8bca09e7e0a"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
# Fields of EC2's answer (DescribeInstances) that gpu-box reads.
ANSWER: dict[str, Any] = {
    "InstanceId": ID,
    "State": {"Code": 16, "Name": "running"},
    "InstanceType": "g4dn.xlarge",
    "Placement": {"AvailabilityZone": "us-east-1a"},
    "LaunchTime": datetime(2026, 11, 23, 14, 2, 11, tzinfo=UTC),
    "PublicIpAddress": "192.0.2.7",
    "PrivateIpAddress": "10.0.0.7",
    "StateReason": {"Code": "pending", "Message": "pending"},
    "StateTransitionReason": "",
    "InstanceLifecycle": "spot",
}
# Values that gpu-box writes, one or two per tag.
WRITTEN: list[tuple[str, str]] = [
    (tags.NAME, "box"),
    (tags.OWNER, "CORP\\o'neil"),
    (tags.KEY, "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"),
    (tags.HOST_KEY, KEY),
    (tags.HOST_KEY, f"pending {KEY}"),
    (tags.SSH_PORT, "2222"),
    (tags.STOP, "2026-11-23T14:02:11+00:00 ada"),
    (tags.USD_MONTH + "2026-11", "1520 0 880"),
    (tags.COUNTED, "2026-11-23T14:02:11+00:00"),
    (tags.GUESSED, "2026-11-23T14:02:11+00:00 2026-11-23T16:02:11+00:00 0.531"),
    (tags.GUESSED, ""),
    (tags.RESIZING, "g5.xlarge"),
    (tags.RESIZING, ""),
    (tags.EXTENDING, "2026-11-23T14:02:00+00:00 2026-11-23T16:02:00+00:00"),
    (tags.EXTENDING, ""),
    (tags.BAKING, "yes"),
    (tags.BAKING, ""),
    (tags.MOVED_FROM, "ami-0123456789abcdef0"),
    (tags.DISK, "100"),
]
# Edits by hand.
EDITED: list[tuple[str, str]] = [
    (tags.KEY, "garbage"),
    (tags.HOST_KEY, "garbage"),
    (tags.HOST_KEY, ""),
    (tags.HOST_KEY, "ssh-ed25519"),
    (tags.HOST_KEY, "ssh-ed25519 AAAA"),
    (tags.HOST_KEY, "ssh-rsa " + KEY.split()[1]),
    (tags.SSH_PORT, "n/a"),
    (tags.SSH_PORT, ""),
    (tags.SSH_PORT, "²"),
    (tags.SSH_PORT, "0"),
    (tags.SSH_PORT, "65536"),
    (tags.STOP, "yesterday ada"),
    (tags.STOP, "2026-11-23T14:02:11 ada"),
    (tags.USD_MONTH + "2026-11", "1520 none"),
    (tags.USD_MONTH + "2026-11", "-1520"),
    (tags.USD_MONTH + "2026-02", "1 " * 29),
    (tags.USD_MONTH + "9999-12", "1520"),
    (tags.USD_MONTH + "; rm -rf", "1520"),
    (tags.COUNTED, "9999-12-31T23:59:59-23:59"),
    (tags.COUNTED, "n/a"),
    (tags.GUESSED, "2026-11-23T14:02:11+00:00 2026-11-23T16:02:11+00:00 nan"),
    (tags.GUESSED, "2026-11-23T14:02:11+00:00 2026-11-23T16:02:11+00:00 -1"),
    (tags.GUESSED, "2026-11-23T14:02:11+00:00 2026-11-23T13:02:11+00:00 0.531"),
    (tags.GUESSED, "yesterday today 0.531"),
    (tags.EXTENDING, "2026-11-23T14:02:00+00:00"),
    (tags.EXTENDING, "now later"),
    (tags.DISK, "²"),
    (tags.DISK, "100 GiB"),
]
OURS = [
    value
    for name, value in vars(tags).items()
    if name.isupper() and isinstance(value, str) and value.startswith("gpu-box:")
]


def tagged(*tags: tuple[str, str]) -> dict[str, Any]:
    return {**ANSWER, "Tags": [{"Key": key, "Value": value} for key, value in tags]}


@pytest.mark.parametrize("tag", WRITTEN)
def test_whatever_gpu_box_writes_it_reads(tag: tuple[str, str]) -> None:
    assert parse_instance(tagged(tag)).unreadable == ()


@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
def test_tags_of_an_instance_that_is_gone_are_not_reported(state: str) -> None:
    assert parse_instance({**tagged(*EDITED), "State": {"Name": state}, "Placement": {}}).unreadable == ()


@pytest.mark.parametrize("tag", EDITED)
def test_a_tag_edited_by_hand_is_named_with_what_repairs_it(tag: tuple[str, str]) -> None:
    instance = parse_instance(tagged(tag))
    assert (instance.id, instance.state) == (ID, InstanceState.RUNNING)
    [one] = instance.unreadable
    assert one.what.startswith(f"its tag {tag[0]} is ")
    assert "\n" not in str(one)
    assert (f"delete-tags --resources {ID} --tags" in one.remedy) is (tag[0] != tags.HOST_KEY)


@given(tag=st.sampled_from(OURS), more=st.text(max_size=9), value=st.text(max_size=256))
def test_no_tag_stops_an_instance_from_being_read(tag: str, more: str, value: str) -> None:
    instance = parse_instance(tagged((tag, value), (tags.USD_MONTH + more, value)))
    assert instance.id == ID and instance.state.bills
    assert all(str(one).isprintable() for one in instance.unreadable)


@pytest.mark.parametrize("field", [name for name in ANSWER if name != "InstanceId"])
def test_a_field_that_aws_does_not_tell_is_missed_and_no_more(field: str) -> None:
    instance = parse_instance({key: value for key, value in ANSWER.items() if key != field})
    assert instance.id == ID
    assert len(instance.unreadable) == (field in ("State", "LaunchTime", "Placement"))


def facts(observed: Observed) -> Facts:
    return Facts(observed=observed, now=datetime.now(UTC), public_key=KEY, rates=None)


def test_a_box_in_an_unknown_state_is_counted_stopped_and_removed_but_not_entered() -> None:
    instance = parse_instance({**ANSWER, "State": {"Code": 99, "Name": "hibernating"}})
    assert instance.state.bills and instance.exists
    assert "EC2 reports the state 'hibernating'" in instance.unreadable[0].what
    observed = Observed(region="us-east-1", instances=(instance,))
    assert StopInstance(instance_id=ID) in plan.stop(observed)
    assert any(isinstance(step, Terminate) and step.instance_id == ID for step in plan.down(observed))
    with pytest.raises(CloudError, match="hibernating"):
        plan_up(Config(), facts(observed))


@pytest.mark.parametrize("tag", [(tags.SSH_PORT, "n/a"), (tags.HOST_KEY, "garbage")])
def test_a_box_whose_address_is_not_readable_is_refused_in_one_line(tag: tuple[str, str]) -> None:
    instance = parse_instance(tagged((tags.HOST_KEY, KEY), tag))
    with pytest.raises(CloudError) as refused:
        host_at(Config(name="box"), instance, "")
    assert str(refused.value).startswith(f"{ID}: box 'box': its tag {tag[0]} is {tag[1]!r}: not a ")
    with pytest.raises(CloudError):
        plan_up(Config(), facts(Observed(region="us-east-1", instances=(instance,))))


def test_a_key_that_gpu_box_makes_is_a_public_key(tmp_path: Any) -> None:
    line = ensure_key_pair(tmp_path / "key").line
    assert parse_instance(tagged((tags.HOST_KEY, line))).unreadable == ()


# As recorded from GetSchedule, with the values that `arm` sends.
SCHEDULE: dict[str, Any] = {
    "Name": "gpu-box-box",
    "State": "ENABLED",
    "ScheduleExpression": "at(2026-11-23T21:10:00)",
    "ScheduleExpressionTimezone": "UTC",
    "Target": {
        "Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances",
        "RoleArn": "arn:aws:iam::123456789012:role/a-role",
        "Input": f'{{"InstanceIds": ["{ID}"]}}',
    },
}


def test_a_schedule_as_it_was_armed_is_a_deadline() -> None:
    armed = parse_schedule(SCHEDULE)
    assert (armed.instance_id, armed.at, armed.broken) == (ID, datetime(2026, 11, 23, 21, 10, tzinfo=UTC), "")


@pytest.mark.parametrize(
    "changed",
    [
        {"State": "DISABLED"},
        {"ScheduleExpression": "rate(1 day)"},
        {"ScheduleExpression": "at(2026-11-31T21:10:00)"},
        {"ScheduleExpressionTimezone": "Asia/Tokyo"},
        {"Target": {**SCHEDULE["Target"], "Input": "{}"}},
        {"Target": {**SCHEDULE["Target"], "Input": "n/a"}},
        {"Target": {**SCHEDULE["Target"], "Input": '{"InstanceIds": []}'}},
        {"Target": {**SCHEDULE["Target"], "Arn": "arn:aws:lambda:us-east-1:123456789012:function:a"}},
        {"Target": {}},
        {"Target": {**SCHEDULE["Target"], "Input": f'{{"InstanceIds": ["{ID}", "i-2"]}}'}},
        {"Target": {**SCHEDULE["Target"], "Input": f'{{"InstanceIds": ["{ID}"], "DryRun": true}}'}},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1440}},
    ],
)
def test_a_schedule_changed_by_hand_is_no_deadline(changed: dict[str, Any]) -> None:
    armed = parse_schedule({**SCHEDULE, **changed})
    assert armed.instance_id == ""
    assert armed.broken.startswith("its schedule gpu-box-box was changed by hand: ")
