"""EventBridge Scheduler: schedules are checked, and fire."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from testbed.cloud import Cloud, wait_until

from gpu_box.aws import permissions

from ..errors import refused

STOP = "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def make_role(cloud: Cloud, *, trust: Any = TRUST, action: str = "ec2:StopInstances") -> str:
    iam = cloud.client("iam")
    role = iam.create_role(RoleName="deadline", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}
    iam.put_role_policy(RoleName="deadline", PolicyName="stop", PolicyDocument=json.dumps(policy))
    return str(role["Arn"])


def at(moment: datetime) -> str:
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


def soon(seconds: float = 3.0) -> datetime:
    """Not sooner: a request with a time that has passed on arrival is refused."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def schedule(cloud: Cloud, instance: str, role: str, **changes: Any) -> dict[str, Any]:
    return {
        "Name": "deadline",
        "ScheduleExpression": at(soon(3600)),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": STOP, "RoleArn": role, "Input": json.dumps({"InstanceIds": [instance]})},
        **changes,
    }


def test_a_schedule_stops_its_instance_and_deletes_itself(cloud: Cloud) -> None:
    instance, scheduler = cloud.wait(cloud.run(), "running"), cloud.client("scheduler")
    scheduler.create_schedule(
        **schedule(
            cloud, instance, make_role(cloud), ScheduleExpression=at(soon()), ActionAfterCompletion="DELETE"
        )
    )
    assert scheduler.get_schedule(Name="deadline")["State"] == "ENABLED"
    cloud.wait(instance, "stopped")
    assert cloud.see(instance)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    with refused("ResourceNotFoundException", status=404):
        scheduler.get_schedule(Name="deadline")


def test_a_schedule_that_is_kept_fires_once(cloud: Cloud) -> None:
    instance, scheduler = cloud.wait(cloud.run(), "running"), cloud.client("scheduler")
    scheduler.create_schedule(**schedule(cloud, instance, make_role(cloud), ScheduleExpression=at(soon())))
    cloud.wait(instance, "stopped")
    assert scheduler.get_schedule(Name="deadline")["Name"] == "deadline"
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    assert cloud.state(instance) == "running"


def test_a_moved_schedule_fires_at_its_new_time(cloud: Cloud) -> None:
    instance, scheduler = cloud.wait(cloud.run(), "running"), cloud.client("scheduler")
    wanted = schedule(cloud, instance, make_role(cloud))
    scheduler.create_schedule(**wanted)
    with refused("ConflictException"):
        scheduler.create_schedule(**wanted)
    wanted |= {"ScheduleExpression": at(soon()), "ActionAfterCompletion": "DELETE"}
    scheduler.update_schedule(**wanted)
    assert scheduler.get_schedule(Name="deadline")["ActionAfterCompletion"] == "DELETE"
    cloud.wait(instance, "stopped")


def test_the_time_is_in_the_zone_that_is_given(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    there = soon().astimezone(ZoneInfo("Asia/Tokyo"))
    cloud.client("scheduler").create_schedule(
        **schedule(
            cloud,
            instance,
            make_role(cloud),
            ScheduleExpression=at(there),
            ScheduleExpressionTimezone="Asia/Tokyo",
        )
    )
    cloud.wait(instance, "stopped")


@pytest.mark.parametrize(
    "wrong",
    [
        {"ScheduleExpression": "at(2020-01-01T00:00:00)"},
        {"ScheduleExpression": "at(2030-13-01T00:00:00)"},
        {"ScheduleExpression": "at(tomorrow)"},
        {"ScheduleExpression": "2030-01-01T00:00:00"},
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"Target": {"Arn": STOP, "RoleArn": "arn:aws:iam::123456789012:role/deadline", "Input": "{}"}},
        {"Target": {"Arn": STOP, "RoleArn": "arn:aws:iam::123456789012:role/missing", "Input": "{}"}},
    ],
)
def test_a_schedule_that_could_never_fire_is_refused(cloud: Cloud, wrong: dict[str, Any]) -> None:
    role = make_role(cloud)
    with refused("ValidationException"):
        cloud.client("scheduler").create_schedule(**schedule(cloud, "i-1", role, **wrong))


def test_a_role_that_is_missing_new_or_distrustful_is_refused(cloud: Cloud) -> None:
    scheduler = cloud.client("scheduler")
    missing = "arn:aws:iam::123456789012:role/deadline"
    for change in ("missing", "new", "distrustful"):
        if change == "new":
            cloud.weather(delays={"iam": 60})
            make_role(cloud)
        if change == "distrustful":
            cloud.weather(delays={"iam": 0})
            other = json.dumps(TRUST).replace("scheduler.", "ec2.")
            cloud.client("iam").update_assume_role_policy(RoleName="deadline", PolicyDocument=other)
        with refused("ValidationException", saying="assume the role"):
            scheduler.create_schedule(**schedule(cloud, "i-1", missing))


@pytest.mark.parametrize(
    ("condition", "takes"),
    [
        # terraform-provider-aws's documentation of aws_scheduler_schedule, and EventBridge Scheduler User
        # Guide, "Confused deputy prevention": the group's ARN, not a schedule's.
        ({"ArnLike": {"aws:SourceArn": "arn:aws:scheduler:*:123456789012:schedule-group/default"}}, True),
        ({"StringEquals": {"aws:SourceAccount": "123456789012"}}, True),
        ({"ArnEquals": {"aws:SourceArn": "arn:aws:scheduler:*:*:schedule/default/deadline"}}, False),
        ({"StringEquals": {"aws:SourceAccount": "210987654321"}}, False),
    ],
)
def test_a_trust_policy_names_a_schedule_group_and_no_schedule(
    cloud: Cloud, condition: dict[str, Any], takes: bool
) -> None:
    statement = {**TRUST["Statement"][0], "Condition": condition}  # type: ignore[dict-item]
    role = make_role(cloud, trust={**TRUST, "Statement": [statement]})
    scheduler, wanted = cloud.client("scheduler"), schedule(cloud, "i-1", "")
    wanted["Target"]["RoleArn"] = role
    if takes:
        scheduler.create_schedule(**wanted)
    else:
        with refused("ValidationException", saying="must allow AWS EventBridge Scheduler to assume the role"):
            scheduler.create_schedule(**wanted)


@pytest.mark.parametrize(("key", "end"), [("gpu-box:name", "stopped"), ("Name", "running")])
def test_the_projects_own_role_stops_boxes_and_nothing_else(cloud: Cloud, key: str, end: str) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": "box"}]}]
    instance = cloud.wait(cloud.run(TagSpecifications=tags), "running")
    documents = permissions.role_documents("aws", region="us-east-1", account=DEFAULT_ACCOUNT_ID)
    iam = cloud.client("iam")
    trust, rights = map(json.dumps, documents)
    role = iam.create_role(RoleName="deadline", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="deadline", PolicyName="stop", PolicyDocument=rights)
    cloud.client("scheduler").create_schedule(
        **schedule(cloud, instance, role, ScheduleExpression=at(soon()), ActionAfterCompletion="DELETE")
    )
    wait_until(lambda: not cloud.client("scheduler").list_schedules()["Schedules"])
    cloud.wait(instance, end)


def test_a_role_without_permission_stops_nothing(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    role = make_role(cloud, action="ec2:StartInstances")
    cloud.client("scheduler").create_schedule(
        **schedule(cloud, instance, role, ScheduleExpression=at(soon()), ActionAfterCompletion="DELETE")
    )
    wait_until(lambda: not cloud.client("scheduler").list_schedules()["Schedules"])
    assert cloud.state(instance) == "running"
