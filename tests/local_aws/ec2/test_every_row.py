"""AWS's behaviour where moto's differs, a row each; boto3 and AWS's command line get the same answers.

The rows are those of the table from which the embedded cloud was made: where moto is wrong or incomplete.
Both clients make each call with the same parameters, so each call can be repeated or is refused. The other
files of this folder test the rows in detail, one subject each.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from testbed.cloud import SPOT, UBUNTU, Cloud

from ..groups import make_group
from ..scheduler.test_scheduler import make_role, schedule
from ..test_aws_cli import AWS, content
from .test_spot import run_spot

pytestmark = pytest.mark.skipif(not AWS.exists(), reason="no aws here: it comes with the development group")


class Both:
    """`both("ec2", "DescribeInstances", ...)`: the answer or the refusal that boto3 and aws agree on."""

    def __init__(self, cloud: Cloud, aws: subprocess.Popen[str]) -> None:
        self._cloud, self._aws = cloud, aws

    def __call__(self, service: str, operation: str, **parameters: Any) -> Any:
        def by_boto3() -> Any:
            try:
                return content(getattr(self._cloud.client(service), xform_name(operation))(**parameters))
            except ClientError as error:
                return _once(str(error))

        first, by_aws = by_boto3(), self._by_aws(service, operation, parameters)
        # Values that change by themselves, such as a state, are asked for again.
        assert by_aws == first or by_aws == by_boto3()
        return by_aws

    def _by_aws(self, service: str, operation: str, parameters: dict[str, Any]) -> Any:
        words = [service, xform_name(operation, "-"), "--cli-input-json", json.dumps(parameters, default=str)]
        assert self._aws.stdin and self._aws.stdout
        self._aws.stdin.write(json.dumps([*words, "--output", "json"]) + "\n")
        self._aws.stdin.flush()
        answer = json.loads(self._aws.stdout.readline())
        if answer["status"]:
            return _once(answer["err"].strip().removeprefix("aws: [ERROR]: "))
        return content(json.loads(answer["out"] or "{}"))


def _once(refusal: str) -> str:
    """The clients may differ in how often they ask."""
    return re.sub(r" \(reached max retries: \d+\)", "", refusal)


@pytest.fixture(scope="module")
def aws(shared_cloud: Cloud) -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, str(Path(__file__).with_name("aws_cli.py"))]
    environment = {**os.environ, **shared_cloud.exports, "AWS_MAX_ATTEMPTS": "1"}
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield child
        assert child.stdin
        child.stdin.close()


@pytest.fixture
def both(cloud: Cloud, aws: subprocess.Popen[str]) -> Both:
    return Both(cloud, aws)


def launch(cloud: Cloud, **more: Any) -> dict[str, Any]:
    request = {"ImageId": cloud.ubuntu(), "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
    return {**request, **more}


def a_client_token_makes_one_instance(cloud: Cloud, both: Both) -> None:
    asked = launch(cloud, ClientToken="once")
    [instance] = both("ec2", "RunInstances", **asked)["Instances"]
    assert instance["InstanceId"]
    assert "(IdempotentParameterMismatch)" in both("ec2", "RunInstances", **{**asked, "EbsOptimized": True})


def capacity_and_quotas_run_out(cloud: Cloud, both: Both) -> None:
    cloud.weather(capacity={"*": {"*": 0}})
    assert "(InsufficientInstanceCapacity)" in both("ec2", "RunInstances", **launch(cloud))
    cloud.weather(capacity={}, quotas={"L-DB2E81BA": 0, "L-3819A6DF": 0})
    assert "(VcpuLimitExceeded)" in both("ec2", "RunInstances", **launch(cloud))
    spot = launch(cloud, InstanceMarketOptions=SPOT)
    assert "(MaxSpotInstanceCountExceeded)" in both("ec2", "RunInstances", **spot)
    slow = {"operation": "DescribeVolumes", "code": "RequestLimitExceeded", "status": 503, "times": 2}
    cloud.weather(faults=[slow])
    assert "(RequestLimitExceeded)" in both("ec2", "DescribeVolumes")


def what_does_not_exist_is_refused(cloud: Cloud, both: Both) -> None:
    for wrong, code in (
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "g9.huge"}, "InvalidParameterValue"),
        ({"KeyName": "missing"}, "InvalidKeyPair.NotFound"),
    ):
        assert f"({code})" in both("ec2", "RunInstances", **launch(cloud, **wrong))


def a_state_is_passed_through(cloud: Cloud, both: Both) -> None:
    cloud.weather(delays={"pending": 30.0})
    instance = cloud.run()
    [[seen]] = [r["Instances"] for r in both("ec2", "DescribeInstances")["Reservations"]]
    assert (seen["InstanceId"], seen["State"]["Name"]) == (instance, "pending")
    assert "(IncorrectInstanceState)" in both("ec2", "StopInstances", InstanceIds=[instance])


def the_terminated_stays_so_and_a_type_changes_while_stopped(cloud: Cloud, both: Both) -> None:
    instance = cloud.wait(cloud.run(), "running")
    kind = {"InstanceId": instance, "InstanceType": {"Value": "g5.xlarge"}}
    assert "(IncorrectInstanceState)" in both("ec2", "ModifyInstanceAttribute", **kind)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert "(IncorrectInstanceState)" in both("ec2", "StartInstances", InstanceIds=[instance])


def a_group_in_use_stays(cloud: Cloud, both: Both) -> None:
    group = make_group(cloud)
    cloud.wait(cloud.run(SecurityGroupIds=[group]), "running")
    assert "(DependencyViolation)" in both("ec2", "DeleteSecurityGroup", GroupId=group)


def a_start_has_a_time_of_its_own(cloud: Cloud, both: Both) -> None:
    instance = cloud.wait(cloud.run(), "running")
    before = cloud.see(instance)["LaunchTime"].timestamp()
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    time.sleep(1.0)  # AWS gives whole seconds
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    [[seen]] = [r["Instances"] for r in both("ec2", "DescribeInstances")["Reservations"]]
    assert seen["LaunchTime"] > before


def the_shutdown_behaviour_is_changed_alone(cloud: Cloud, both: Both) -> None:
    group = make_group(cloud)
    instance = cloud.run(SecurityGroupIds=[group])
    behaviour = {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}}
    both("ec2", "ModifyInstanceAttribute", InstanceId=instance, **behaviour)
    asked = {"InstanceId": instance, "Attribute": "instanceInitiatedShutdownBehavior"}
    assert both("ec2", "DescribeInstanceAttribute", **asked)["InstanceInitiatedShutdownBehavior"] == {
        "Value": "terminate"
    }
    assert [g["GroupId"] for g in cloud.see(instance)["SecurityGroups"]] == [group]


def behind_a_spot_instance_is_a_request(cloud: Cloud, both: Both) -> None:
    instance = run_spot(cloud, "one-time")
    [request] = both("ec2", "DescribeSpotInstanceRequests")["SpotInstanceRequests"]
    assert (request["InstanceId"], request["State"]) == (instance, "active")
    assert "(UnsupportedOperation)" in both("ec2", "StopInstances", InstanceIds=[instance])


def a_disk_is_as_it_was_asked_for(cloud: Cloud, both: Both) -> None:
    disk = {"VolumeSize": 40, "VolumeType": "gp3", "Iops": 4_000, "Throughput": 200}
    cloud.run(BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": disk}])
    [volume] = both("ec2", "DescribeVolumes")["Volumes"]
    assert (volume["Size"], volume["Iops"], volume["Throughput"]) == (40, 4_000, 200)
    [[seen]] = [r["Instances"] for r in both("ec2", "DescribeInstances")["Reservations"]]
    assert [disk["Ebs"]["DeleteOnTermination"] for disk in seen["BlockDeviceMappings"]] == [True]


def without_a_group_it_is_the_default_one(cloud: Cloud, both: Both) -> None:
    cloud.wait(cloud.run(), "running")
    [[seen]] = [r["Instances"] for r in both("ec2", "DescribeInstances")["Reservations"]]
    assert [group["GroupName"] for group in seen["SecurityGroups"]] == ["default"]


def an_unknown_profile_is_refused(cloud: Cloud, both: Both) -> None:
    unknown = launch(cloud, IamInstanceProfile={"Name": "missing"})
    assert "(InvalidParameterValue)" in both("ec2", "RunInstances", **unknown)


def a_console_and_a_spot_price_are_its_own(cloud: Cloud, both: Both) -> None:
    instance = cloud.run()
    assert not both("ec2", "GetConsoleOutput", InstanceId=instance).get("Output")
    asked = {"InstanceTypes": ["g5.xlarge"], "ProductDescriptions": ["Linux/UNIX"], "MaxResults": 5}
    prices = both("ec2", "DescribeSpotPriceHistory", **asked)["SpotPriceHistory"]
    assert all(0.2 < float(price["SpotPrice"]) < 1.006 for price in prices)


def a_schedule_is_checked(cloud: Cloud, both: Both) -> None:
    asked = schedule(cloud, cloud.run(), make_role(cloud))
    past = f"at({datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%S})"
    for never in (past, "at(soon)"):
        refused = both("scheduler", "CreateSchedule", **{**asked, "ScheduleExpression": never})
        assert "(ValidationException)" in refused
    cloud.client("scheduler").create_schedule(**asked)
    assert both("scheduler", "GetSchedule", Name=asked["Name"])["State"] == "ENABLED"


def public_images_are_named_by_parameters(cloud: Cloud, both: Both) -> None:
    named = both("ssm", "GetParameter", Name=UBUNTU)["Parameter"]["Value"]
    assert both("ec2", "DescribeImages", ImageIds=[named])["Images"][0]["ImageId"] == named


def quotas_and_prices(cloud: Cloud, both: Both) -> None:
    quota = both("service-quotas", "GetServiceQuota", ServiceCode="ec2", QuotaCode="L-DB2E81BA")
    assert quota["Quota"]["Value"] == 768
    wanted = {"instanceType": "g4dn.xlarge", "regionCode": "us-east-1"}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    assert both("pricing", "GetProducts", ServiceCode="AmazonEC2", Filters=filters)["PriceList"]


def instances_are_found_by_token_and_lifecycle(cloud: Cloud, both: Both) -> None:
    mine = cloud.run(ClientToken="mine")
    cloud.run(InstanceMarketOptions=SPOT)
    for name, value in (("client-token", "mine"), ("instance-lifecycle", "spot")):
        found = both("ec2", "DescribeInstances", Filters=[{"Name": name, "Values": [value]}])["Reservations"]
        [instance] = [i for reservation in found for i in reservation["Instances"]]
        assert (instance["InstanceId"] == mine) is (name == "client-token")


def what_is_not_there_says_so(cloud: Cloud, both: Both) -> None:
    asked = {"PolicySourceArn": "arn:aws:iam::123456789012:user/ada", "ActionNames": ["ec2:RunInstances"]}
    assert "(InvalidAction)" in both("iam", "SimulatePrincipalPolicy", **asked)
    assert "(UnknownOperationException)" in both("cloudtrail", "LookupEvents")


ROWS: list[Callable[[Cloud, Both], None]] = [
    a_client_token_makes_one_instance,
    capacity_and_quotas_run_out,
    what_does_not_exist_is_refused,
    a_state_is_passed_through,
    the_terminated_stays_so_and_a_type_changes_while_stopped,
    a_group_in_use_stays,
    a_start_has_a_time_of_its_own,
    the_shutdown_behaviour_is_changed_alone,
    behind_a_spot_instance_is_a_request,
    a_disk_is_as_it_was_asked_for,
    without_a_group_it_is_the_default_one,
    an_unknown_profile_is_refused,
    a_console_and_a_spot_price_are_its_own,
    a_schedule_is_checked,
    public_images_are_named_by_parameters,
    quotas_and_prices,
    instances_are_found_by_token_and_lifecycle,
    what_is_not_there_says_so,
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_boto3_and_aws_hear_the_same(row: Callable[[Cloud, Both], None], cloud: Cloud, both: Both) -> None:
    row(cloud, both)
