"""IAM: which calls a user's policies allow, on which resources and with which tags."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from testbed.cloud import Cloud, make_key

from local_aws.iam.evaluation import Need, allows

from ..errors import refused

Client = Callable[[str], Any]
Tags = dict[str, str]


@pytest.fixture
def as_user(cloud: Cloud) -> Callable[..., Client]:
    """`as_user(statement, ...)`: clients of a user with these statements only."""

    def make(*statements: dict[str, Any]) -> Client:
        iam = cloud.client("iam")
        iam.create_user(UserName="ada")
        pair = iam.create_access_key(UserName="ada")["AccessKey"]
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_user_policy(UserName="ada", PolicyName="p", PolicyDocument=json.dumps(policy))
        return lambda service: boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=cloud.endpoint,
            aws_access_key_id=pair["AccessKeyId"],
            aws_secret_access_key=pair["SecretAccessKey"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    return make


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def tagged(kind: str, **tags: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]


def test_a_user_may_what_a_policy_says_and_nothing_else(as_user: Callable[..., Client]) -> None:
    mine = as_user(allow("ec2:DescribeVpcs"))
    mine("ec2").describe_vpcs()
    with refused("UnauthorizedOperation", status=403, saying="to perform: ec2:DescribeInstances because"):
        mine("ec2").describe_instances()
    with refused("AccessDenied", status=403, saying="iam:ListRoles"):
        mine("iam").list_roles()
    with refused("AccessDeniedException", status=403, saying="parameter/aws/service/x because"):
        mine("ssm").get_parameter(Name="/aws/service/x")
    mine("sts").get_caller_identity()  # needs no permission


def test_a_new_user_may_nothing(as_user: Callable[..., Client]) -> None:
    with refused("UnauthorizedOperation", status=403):
        as_user(allow("s3:*"))("ec2").describe_vpcs()


def test_only_what_carries_the_tag_is_stopped(cloud: Cloud, as_user: Callable[..., Client]) -> None:
    mine = cloud.run(TagSpecifications=tagged("instance", team="a"))
    others = cloud.run(TagSpecifications=tagged("instance", team="b"))
    for instance in (mine, others):
        cloud.wait(instance, "running")
    ec2 = as_user(allow("ec2:StopInstances", StringEquals={"aws:ResourceTag/team": "a"}))("ec2")
    for denied in ([others], [mine, others]):
        with refused("UnauthorizedOperation", status=403, saying=f"instance/{others}"):
            ec2.stop_instances(InstanceIds=denied)
    assert cloud.state(mine) == "running"
    ec2.stop_instances(InstanceIds=[mine])


def test_a_launch_is_permitted_resource_by_resource(cloud: Cloud, as_user: Callable[..., Client]) -> None:
    here = "arn:aws:ec2:us-east-1"
    used = [f"{here}::image/*", f"{here}:*:subnet/*", f"{here}:*:network-interface/*", f"{here}:*:volume/*"]
    used.append(f"{here}:*:security-group/*")  # the default group, where the launch names none
    ec2 = as_user(
        allow("ec2:RunInstances", used),
        allow("ec2:RunInstances", f"{here}:*:instance/*", Null={"aws:RequestTag/team": "false"}),
        allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "RunInstances"}),
    )("ec2")
    request = {"ImageId": cloud.ubuntu(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    with refused("UnauthorizedOperation", status=403, saying="instance/*"):
        ec2.run_instances(**request)
    with refused("UnauthorizedOperation", status=403, saying="instance/*"):
        ec2.run_instances(**request, TagSpecifications=tagged("instance", Name="x"))
    made = ec2.run_instances(**request, TagSpecifications=tagged("instance", team="a"))
    with refused("UnauthorizedOperation", status=403, saying="ec2:CreateTags"):
        ec2.create_tags(Resources=[made["Instances"][0]["InstanceId"]], Tags=[{"Key": "team", "Value": "b"}])


def test_a_dry_run_tells_whether_it_would_be_permitted(cloud: Cloud, as_user: Callable[..., Client]) -> None:
    key = make_key(cloud.home, "dry").public.encode()
    ec2 = as_user(allow("ec2:ImportKeyPair"))("ec2")
    with refused("DryRunOperation", status=412):
        ec2.import_key_pair(KeyName="k", PublicKeyMaterial=key, DryRun=True)
    with refused("UnauthorizedOperation", status=403):
        ec2.delete_key_pair(KeyName="k", DryRun=True)
    assert cloud.ec2.describe_key_pairs()["KeyPairs"] == []


@pytest.mark.parametrize(
    ("condition", "context", "applies"),
    [
        ({"StringEquals": {"k": "v"}}, {"k": "v"}, True),
        ({"StringEquals": {"k": ["u", "v"]}}, {"k": "v"}, True),
        ({"StringEquals": {"k": "v"}}, {}, False),
        ({"StringEquals": {"k": "*"}}, {"k": "v"}, False),
        ({"StringLike": {"k": "v*"}}, {"k": "vw"}, True),
        ({"StringLikeIfExists": {"k": "v*"}}, {}, True),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "false"}}, {}, False),
        ({"Null": {"k": "false"}}, {"k": ""}, True),
        ({"ForAllValues:StringLike": {"k": "v*"}}, {"k": ["v1", "v2"]}, True),
        ({"ForAllValues:StringLike": {"k": "v*"}}, {"k": ["v1", "w"]}, False),
        ({"StringEquals": {"k": "v", "l": "w"}}, {"k": "v"}, False),
    ],
)
def test_conditions_are_iam_s(condition: dict[str, Any], context: dict[str, Any], applies: bool) -> None:
    policy = {"Statement": allow("a:B", **condition)}
    assert allows([policy], Need("a:B", "*", context)) is applies


def test_a_deny_wins_and_case_does_not_matter_in_actions() -> None:
    everything = {"Statement": [allow("*")]}
    but = {"Statement": {"Effect": "Deny", "Action": "A:b*", "Resource": "arn:x/*"}}
    assert allows([everything], Need("a:Bee"))
    assert not allows([everything, but], Need("a:Bee", "arn:x/1"))
    assert allows([everything, but], Need("a:Bee", "arn:y/1"))


def test_a_condition_that_is_not_known_is_not_taken_as_met() -> None:
    policy = {"Statement": allow("*", DateLessThan={"aws:CurrentTime": "2020-01-01"})}
    with pytest.raises(ValueError, match="DateLessThan"):
        allows([policy], Need("a:B", "*", {"aws:CurrentTime": "2026"}))
