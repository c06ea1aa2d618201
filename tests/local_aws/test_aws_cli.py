"""AWS's command line, not our SDK, gets the same answers as boto3 from the embedded cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from testbed.cloud import Cloud

from .ec2.test_spot import run_spot
from .scheduler.test_scheduler import make_role, schedule

Aws = Callable[..., Any]
AWS = Path(sys.executable).with_name("aws")
pytestmark = pytest.mark.skipif(not AWS.exists(), reason="no aws here: it comes with the development group")


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    """`aws("ec2", "describe-instances")`: its output, or its error if it is refused."""

    def run(*words: str) -> Any:
        done = subprocess.run(
            [AWS, *words, "--output", "json"],
            env={**os.environ, **cloud.exports},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()

    return run


def content(answer: Any) -> Any:
    """boto3's answer or the command line's, in one form: times as seconds, without HTTP's metadata."""
    if isinstance(answer, dict):
        return {key: content(value) for key, value in answer.items() if key != "ResponseMetadata"}
    if isinstance(answer, list):
        return [content(value) for value in answer]
    if isinstance(answer, datetime):
        return answer.astimezone(UTC).timestamp()
    if isinstance(answer, str) and answer[:2] == "20" and "T" in answer:
        return datetime.fromisoformat(answer).timestamp()
    return answer


def test_instances_are_launched_once_seen_and_terminated(cloud: Cloud, aws: Aws) -> None:
    launch = (
        "ec2", "run-instances", "--image-id", cloud.ubuntu(), "--instance-type", "g4dn.xlarge",
        "--client-token", "once", "--tag-specifications",
        "ResourceType=instance,Tags=[{Key=gpu-box:name,Value=box}]",
    )  # fmt: skip
    [instance] = aws(*launch)["Instances"]
    assert [again["InstanceId"] for again in aws(*launch)["Instances"]] == [instance["InstanceId"]]
    assert "IdempotentParameterMismatch" in aws(*launch, "--ebs-optimized")
    cloud.wait(instance["InstanceId"], "running")
    assert content(aws("ec2", "describe-instances")) == content(cloud.ec2.describe_instances())
    [change] = aws("ec2", "terminate-instances", "--instance-ids", instance["InstanceId"])[
        "TerminatingInstances"
    ]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")


def test_spot_requests_and_schedules_and_quotas_read_the_same(cloud: Cloud, aws: Aws) -> None:
    instance = run_spot(cloud, "persistent")
    assert content(aws("ec2", "describe-spot-instance-requests")) == content(
        cloud.ec2.describe_spot_instance_requests()
    )
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(**schedule(cloud, instance, make_role(cloud)))
    assert content(aws("scheduler", "get-schedule", "--name", "deadline")) == content(
        scheduler.get_schedule(Name="deadline")
    )
    quota = {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}
    assert content(
        aws("service-quotas", "get-service-quota", "--service-code", "ec2", "--quota-code", "L-DB2E81BA")
    ) == content(cloud.client("service-quotas").get_service_quota(**quota))
