"""Invalid parameters get AWS's error code and message: a case for each row of the table, and for the
constraints in botocore's service models.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from testbed.cloud import Cloud

from local_aws.parameters import service_model, values
from local_aws.parameters.row import VOLUME, Row
from local_aws.parameters.service_model import Given
from local_aws.parameters.validation import ROWS, covers

from ..errors import refused
from ..groups import make_group
from ..scheduler.test_scheduler import TRUST, make_role, schedule
from .refused import CASES, KEY, RFC4716, Case, rsa
from .wire import as_call

EVERY_SIGN = "az AZ 09 ._-:/()#,@[]+=&;{}!$*"


@pytest.fixture(scope="module")
def unchecked(shared_cloud: Cloud) -> Any:
    """`unchecked("ec2")`: a client that does not check parameters, as in other SDKs."""
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = boto3.client(
                service, region_name="us-east-1", endpoint_url=shared_cloud.endpoint,
                aws_access_key_id=shared_cloud.exports["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=shared_cloud.exports["AWS_SECRET_ACCESS_KEY"],
                config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
            )  # fmt: skip
        return made[service]

    return client


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operation}-{case.message[:40]}")
def test_aws_refuses_it_in_these_words(shared_cloud: Cloud, unchecked: Any, case: Case) -> None:
    request = case.request
    if case.operation == "RunInstances":
        request = {"ImageId": shared_cloud.ubuntu(), **request}
    with refused(case.code, saying=case.message):
        getattr(unchecked(case.service), xform_name(case.operation))(**request)


def test_user_data_that_is_not_base64(shared_cloud: Cloud) -> None:
    """The SDK encodes it by itself."""
    ec2 = shared_cloud.client("ec2")

    def send_as_it_is(params: dict[str, Any], **_: Any) -> None:
        params["body"]["UserData"] = "#cloud-config"

    ec2.meta.events.register("before-call.ec2.RunInstances", send_as_it_is)
    try:
        with refused("InvalidParameterValue", saying="Invalid BASE64 encoding of user data"):
            shared_cloud.run(UserData="#cloud-config")
    finally:
        ec2.meta.events.unregister("before-call.ec2.RunInstances", send_as_it_is)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.where[:50]}-{row.code}")
def test_every_row_has_a_request_that_it_refuses(row: Row) -> None:
    assert any(_refuses(row, nth) for nth in range(len(CASES))) or "BASE64" in str(row.says)


def _refuses(row: Row, nth: int) -> bool:
    case = CASES[nth]
    if case.code != row.code:
        return False
    if row.where == VOLUME:
        disks = case.request.get("BlockDeviceMappings", [])
        return any(not row.takes({"VolumeType": "gp2", **disk["Ebs"]}) for disk in disks)
    return any(row.is_for(case.operation, one.path) and not row.takes(one.value) for one in _given(nth))


@cache
def _given(nth: int) -> list[Given]:
    """The parameters of the case with that number."""
    case = CASES[nth]
    return service_model.given(as_call(case.service, case.operation, case.request))


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.doc], ids=lambda row: f"{row.where[:50]}-{row.doc[:20]}"
)
def test_botocore_says_what_the_row_says(row: Row) -> None:
    """In the installed version: its text is AWS's documentation."""
    assert any(
        " ".join(row.doc.split()) in " ".join(values.documented(operation, path).split())
        for operation, path in _ec2_parameters()
        if row.looks_at(operation, path) or row.looks_at(operation, f"{path}.N")
    )


@cache
def _ec2_parameters() -> frozenset[tuple[str, str]]:
    return frozenset(
        (case.operation, one.path)
        for nth, case in enumerate(CASES)
        if case.service == "ec2"
        for one in _given(nth)
    )


def test_gp3_is_as_fast_as_aws_sells_it(cloud: Cloud) -> None:
    ebs = {"VolumeSize": 200, "VolumeType": "gp3", "Iops": 80_000, "Throughput": 2_000}
    cloud.run(BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": ebs}])
    [volume] = cloud.ec2.describe_volumes()["Volumes"]
    assert (volume["Iops"], volume["Throughput"]) == (80_000, 2_000)


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ({"Size": 0}, "InvalidParameterValue", "New size cannot be smaller than existing size"),
        ({"Size": -1}, "InvalidParameterValue", "New size cannot be smaller than existing size"),
        ({"VolumeType": "gp2", "Throughput": 250}, "InvalidParameterCombination",
         "throughput can only be specified for volumeType gp3."),
        ({"Throughput": 124}, "InvalidParameterValue", "Volume throughput of 124 is too low"),
        ({"Throughput": 2_001, "Iops": 9_000}, "InvalidParameterValue",
         "Volume throughput of 2001 is too high"),
        ({"Throughput": 1_000}, "InvalidParameterCombination", "Throughput (MiBps) to iops ratio"),
        ({"VolumeType": "gp2", "Iops": 3_000}, "InvalidParameterCombination",
         "The parameter iops is not supported for gp2 volumes."),
        ({"Iops": 2_999}, "InvalidParameterValue", "Volume iops of 2999 is too low"),
        ({"VolumeType": "gp9"}, "InvalidParameterValue", "(gp9) for parameter VolumeType"),
        ({"VolumeType": "st1"}, "InvalidParameterValue", "must be at least 125 GiB in size"),
        ({}, "InvalidParameterValue", "Must specify at least one of"),
    ],
)  # fmt: skip
def test_a_volume_is_not_changed_into_one_that_aws_does_not_sell(
    cloud: Cloud, unchecked: Any, asked: dict[str, Any], code: str, message: str
) -> None:
    cloud.run(BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 100}}])
    [volume] = cloud.ec2.describe_volumes()["Volumes"]
    with refused(code, saying=message):
        unchecked("ec2").modify_volume(VolumeId=volume["VolumeId"], **asked)


def test_a_volume_changes_its_type_with_the_defaults_of_the_new_one(cloud: Cloud) -> None:
    cloud.run(
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 200, "Throughput": 500}}]
    )
    [volume] = cloud.ec2.describe_volumes()["Volumes"]
    for asked in ({"VolumeType": "gp2"}, {"VolumeType": "io2"}, {"VolumeType": "gp3", "Throughput": 700}):
        cloud.weather(delays={"modifying": 0.0, "optimizing": 0.0})
        cloud.ec2.modify_volume(VolumeId=volume["VolumeId"], **asked)


@pytest.mark.parametrize("kind", ["st1", "sc1"])
def test_a_slow_volume_is_no_root(cloud: Cloud, kind: str) -> None:
    slow = {"VolumeSize": 200, "VolumeType": kind}
    with refused("InvalidParameterCombination", saying=f"iops is not supported for {kind} volumes."):
        cloud.run(BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": slow}])
    cloud.run(BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": slow}])


def test_a_volume_does_not_grow_beyond_its_type(cloud: Cloud) -> None:
    cloud.run()
    [volume] = cloud.ec2.describe_volumes()["Volumes"]
    with refused("InvalidParameterValue", saying="is too large for volume type"):
        cloud.ec2.modify_volume(VolumeId=volume["VolumeId"], Size=70_000)


def test_a_description_of_every_sign_that_ec2_takes(cloud: Cloud) -> None:
    described = {"Description": EVERY_SIGN}
    group = cloud.ec2.create_security_group(GroupName="g" * 255, **described)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    ranges = [{"CidrIp": "192.0.2.1/32", "Description": EVERY_SIGN.ljust(255, "x")}]
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**rule, "IpRanges": ranges}])


@pytest.mark.parametrize(
    "rule",
    [
        {"IpProtocol": "-1"},
        {"IpProtocol": "50", "FromPort": -1, "ToPort": -1},
        {"IpProtocol": "255", "FromPort": 7, "ToPort": 1},  # its ports are ignored
        {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65_535},
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1},
        {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1},
        {"IpProtocol": "icmp", "FromPort": 8, "ToPort": 0},
        {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1},
    ],
    ids=str,
)
def test_a_rule_that_ec2_takes(cloud: Cloud, rule: dict[str, Any]) -> None:
    group = make_group(cloud)
    source = {"IpRanges": [{"CidrIp": "192.0.2.0/24"}], "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/64"}]}
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**rule, **source}])


@pytest.mark.parametrize("material", [KEY, rsa(1024), rsa(2048), rsa(3072), rsa(4096)], ids=len)
def test_a_key_that_ec2_takes(cloud: Cloud, material: bytes) -> None:
    cloud.ec2.import_key_pair(KeyName="box", PublicKeyMaterial=material + b" ada@laptop")


def test_an_rsa_key_in_the_format_of_rfc_4716(cloud: Cloud) -> None:
    material = RFC4716.replace(KEY.split()[1], rsa(2048).split()[1])
    cloud.ec2.import_key_pair(KeyName="box", PublicKeyMaterial=material)


@pytest.mark.parametrize("operation", ["DescribePlacementGroups", "DescribeSubnets", "DescribeInstances"])
def test_a_filter_without_values_finds_nothing(cloud: Cloud, unchecked: Any, operation: str) -> None:
    """As AWS answers it: getmoto/moto#8570."""
    cloud.ec2.create_placement_group(GroupName="box", Strategy="cluster")
    cloud.run()
    answer = getattr(unchecked("ec2"), xform_name(operation))(Filters=[{"Name": "tag:k"}])
    assert [one for found in answer.values() if isinstance(found, list) for one in found] == []


def test_fifty_filters_are_not_too_many(cloud: Cloud) -> None:
    cloud.ec2.describe_volumes(Filters=[{"Name": f"tag:{n}", "Values": ["v"]} for n in range(50)])


def test_a_resource_has_no_more_than_fifty_tags(cloud: Cloud) -> None:
    group = make_group(cloud)
    cloud.ec2.create_tags(Resources=[group], Tags=[{"Key": f"{n}", "Value": "v"} for n in range(50)])
    cloud.ec2.create_tags(Resources=[group], Tags=[{"Key": "0", "Value": "another"}])
    with refused("TagLimitExceeded"):
        cloud.ec2.create_tags(Resources=[group], Tags=[{"Key": "50", "Value": "v"}])


def test_a_parameter_that_nothing_checks_is_not_covered() -> None:
    assert covers("ec2", "RunInstances", "ClientToken")
    assert covers("scheduler", "CreateSchedule", "Target.RetryPolicy.MaximumRetryAttempts")
    assert not covers("ec2", "RunInstances", "AdditionalInfo")


def test_a_tag_goes_on_what_is_there(cloud: Cloud) -> None:
    """Also one whose value looks like the id of another resource."""
    for resource in (cloud.run(), make_group(cloud)):
        cloud.ec2.create_tags(Resources=[resource], Tags=[{"Key": "from", "Value": "ami-" + "0" * 17}])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        # https://github.com/juspay/hyperswitch-suite/pull/323
        (
            {"Tags": [{"Key": "name", "Value": "box"}, {"Key": "owner", "Value": "CORP\\o'neil"}]},
            "1 validation error detected: Value at 'tags.2.member.value' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*",
        ),
        # https://github.com/ministackorg/ministack/issues/1411
        (
            {"Description": "an em dash: \u2014"},
            "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must "
            r"satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*",
        ),
        ({"RoleName": "r" * 65}, "Member must have length less than or equal to 64"),
        ({"RoleName": "a role"}, r"Member must satisfy regular expression pattern: [\w+=,.@-]+"),
    ],
)
def test_a_role_that_iam_does_not_take(cloud: Cloud, asked: dict[str, Any], message: str) -> None:
    role = {"RoleName": "deadline", "AssumeRolePolicyDocument": json.dumps(TRUST)}
    with refused("ValidationError", saying=message):
        cloud.client("iam").create_role(**{**role, **asked})


def test_a_role_tag_of_every_sign_that_iam_takes(cloud: Cloud) -> None:
    tags = [{"Key": "owner", "Value": "Søren Ñandú ٣ ünï\u00a0_.:/=+-@"}]
    cloud.client("iam").create_role(
        RoleName="deadline", AssumeRolePolicyDocument=json.dumps(TRUST), Description="the 'é'", Tags=tags
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        # https://github.com/webiny/webiny-js/pull/5445
        (
            {"Name": "root-Cms:Entry"},
            "Value 'root-Cms:Entry' at 'name' failed to satisfy constraint: Member must satisfy regular "
            "expression pattern: [0-9a-zA-Z-_.]+",
        ),
        ({"Name": "n" * 65}, "Member must have length less than or equal to 64"),
        ({"Description": "d" * 513}, "Member must have length less than or equal to 512"),
        ({"State": "ON"}, "Value 'ON' at 'state' failed to satisfy constraint: Member must satisfy enum "
         "value set: [ENABLED, DISABLED]"),
        ({"FlexibleTimeWindow": {"Mode": "ON"}}, "Value 'ON' at 'flexibleTimeWindow.mode'"),
        ({"ActionAfterCompletion": "KEEP"}, "Value 'KEEP' at 'actionAfterCompletion'"),
        # The form of numbers: https://github.com/flanksource/config-db/pull/35
        ({"RetryPolicy": {"MaximumRetryAttempts": 186}}, "Value '186' at "
         "'target.retryPolicy.maximumRetryAttempts' failed to satisfy constraint: Member must have value "
         "less than or equal to 185"),
        ({"RetryPolicy": {"MaximumEventAgeInSeconds": 86_401}}, "value less than or equal to 86400"),
    ],
)  # fmt: skip
def test_a_schedule_that_the_scheduler_does_not_take(
    cloud: Cloud, asked: dict[str, Any], message: str
) -> None:
    wanted = schedule(cloud, "i-1", make_role(cloud))
    wanted["Target"] |= {key: asked[key] for key in asked.keys() & {"RetryPolicy"}}
    wanted |= {key: asked[key] for key in asked.keys() - {"RetryPolicy"}}
    with refused("ValidationException", saying=message):
        cloud.client("scheduler").create_schedule(**wanted)
