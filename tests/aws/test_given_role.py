"""Where users make no roles, or only within a boundary: what `gpu-box policy` prints is enough."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from gpu_box.aws import doctor, permissions
from gpu_box.config.model import Aws, Config
from gpu_box.errors import CloudError
from gpu_box.model.check import Check
from gpu_box.model.observed import InstanceState

from .conftest import Laptop, Owner

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/gpu-box-deadline"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/gpu-box-boundary"
# Notes its words, and answers as `aws sts get-caller-identity --query Account --output text`.
AWS_CLIENT = f'#!/bin/sh\nprintf "%s\\0" "$@" >>"$NOTES"\nprintf "\\n\\0" >>"$NOTES"\necho {ACCOUNT}\n'


def as_administrator(owner: Owner, script: str, folder: Path) -> None:
    """Run the script with a shell; make the calls of its `aws` client by the SDK."""
    client, notes = folder / "bin" / "aws", folder / "notes"
    client.parent.mkdir(exist_ok=True)
    client.write_text(AWS_CLIENT)
    client.chmod(0o755)
    env = {"PATH": f"{client.parent}:{os.environ['PATH']}", "NOTES": str(notes)}
    subprocess.run(["sh", "-c", script], env=env, check=True, capture_output=True, timeout=60)
    for typed in notes.read_text().split("\n\0"):
        service, operation, *options = typed.split("\0")[:-1] or ["", ""]
        if service == "iam" and operation != "create-service-linked-role":
            given: dict[str, Any] = dict(zip(options[::2], options[1::2], strict=True))
            request = {_member(name): value for name, value in given.items()}
            if "Tags" in request:
                request["Tags"] = json.loads(request["Tags"])
            getattr(owner("iam"), xform_name(operation.replace("-", "_")))(**request)


def _member(option: str) -> str:
    return "".join(word.capitalize() for word in option.removeprefix("--").split("-"))


@pytest.fixture
def user(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any]], None]]:
    """`user(policy)`: from then on this process is a user with that policy alone."""
    iam = owner("iam")
    iam.create_user(UserName="ada")
    pair = iam.create_access_key(UserName="ada")["AccessKey"]

    def may(policy: dict[str, Any]) -> None:
        iam.put_user_policy(UserName="ada", PolicyName="p", PolicyDocument=json.dumps(policy))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", pair["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", pair["SecretAccessKey"])

    yield may
    iam.delete_user_policy(UserName="ada", PolicyName="p")
    iam.delete_access_key(UserName="ada", AccessKeyId=pair["AccessKeyId"])
    iam.delete_user(UserName="ada")


@pytest.fixture
def role(owner: Owner, tmp_path: Path) -> Iterator[str]:
    """Made by the administrator, who ran what `gpu-box policy --role` prints."""
    iam = owner("iam")
    as_administrator(owner, permissions.role_commands(Config(), "aws"), tmp_path)
    yield ROLE
    iam.delete_role_policy(RoleName="gpu-box-deadline", PolicyName=permissions.POLICY_NAME)
    iam.delete_role(RoleName="gpu-box-deadline")


def refused(mine: Laptop) -> list[Check]:
    return [check for check in doctor.check_account(mine.cloud, mine.observe()) if not check.ok]


def test_a_launch_behind_a_group_of_others_is_denied(
    role: str, user: Callable[[dict[str, Any]], None], laptop: Callable[..., Laptop]
) -> None:
    """The VPC's default group: a launch that names none is one behind it."""
    user(permissions.user_policy(Config(), "aws"))
    ec2 = laptop().cloud.ec2
    request = {"ImageId": latest(ec2), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    own = [{"Key": "gpu-box:name", "Value": "box"}]
    tagged = [{"ResourceType": kind, "Tags": own} for kind in ("instance", "volume")]
    with pytest.raises(
        ClientError, match=r"ec2:RunInstances on resource: \S+:security-group/sg-\w+ because no"
    ):
        ec2.run_instances(**request, TagSpecifications=tagged)


def latest(ec2: Any) -> str:
    return str(ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"])


def test_a_box_lives_by_a_role_that_an_administrator_made(
    role: str, owner: Owner, user: Callable[[dict[str, Any]], None], laptop: Callable[..., Laptop]
) -> None:
    account = Aws(deadline_role=role)
    user(permissions.user_policy(Config(aws=account), "aws"))
    mine = laptop(aws=account)
    assert refused(mine) == []
    armed = mine.up().deadline
    assert armed and armed.role_arn == role
    assert refused(mine) == []
    mine.stop()
    assert laptop(aws=account).up().deadline
    assert mine.down().nothing_left
    assert owner("iam").get_role(RoleName="gpu-box-deadline")["Role"]["Arn"] == role
    assert not mine.report.lines or not [line for line in mine.report.lines if "NOT ARMED" in line]


def test_a_role_that_its_user_may_not_read_is_used_as_it_is(
    role: str, user: Callable[[dict[str, Any]], None], laptop: Callable[..., Laptop]
) -> None:
    account = Aws(deadline_role=role)
    policy = permissions.user_policy(Config(aws=account), "aws")
    unread = [one for one in policy["Statement"] if one["Sid"] != "SeeTheRoleThatStops"]
    user({**policy, "Statement": unread})
    mine = laptop(aws=account)
    assert mine.up().deadline
    assert mine.down().nothing_left


@pytest.mark.parametrize(
    ("name", "why"),
    [("missing", "there is no role"), ("trusts-ec2", "does not let scheduler.amazonaws.com")],
)
def test_a_role_that_cannot_stop_the_box_is_refused_before_the_launch(
    owner: Owner, laptop: Callable[..., Laptop], name: str, why: str
) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    iam = owner("iam")
    iam.create_role(RoleName="gpu-box-deadline-trusts-ec2", AssumeRolePolicyDocument=document)
    arn = f"arn:aws:iam::{ACCOUNT}:role/gpu-box-deadline-{name}"
    mine = laptop(aws=Aws(deadline_role=arn))
    try:
        with pytest.raises(CloudError, match=rf"aws\.deadline_role: .*{why}.*nothing was started"):
            mine.up()
        assert not mine.observe().live
    finally:
        iam.delete_role(RoleName="gpu-box-deadline-trusts-ec2")


def test_without_the_right_to_see_schedules_nothing_is_launched(
    role: str, user: Callable[[dict[str, Any]], None], laptop: Callable[..., Laptop]
) -> None:
    policy = permissions.user_policy(Config(aws=Aws(deadline_role=role)), "aws")
    user({**policy, "Statement": [one for one in policy["Statement"] if one["Sid"] != "ArmTheDeadline"]})
    mine = laptop(aws=Aws(deadline_role=role))
    with pytest.raises(CloudError, match="scheduler:GetSchedule.*nothing was started.*--without-deadline"):
        mine.up()
    assert not mine.observe().live


def test_a_user_without_a_role_is_sent_to_an_administrator_before_anything_bills(
    user: Callable[[dict[str, Any]], None], laptop: Callable[..., Laptop]
) -> None:
    user(permissions.user_policy(Config(), "aws"))
    mine = laptop()
    with pytest.raises(CloudError, match="may not create roles.*gpu-box policy --role.*aws.deadline_role"):
        mine.up()
    assert not mine.observe().live
    assert mine.down().nothing_left


def test_a_box_lives_by_a_role_within_the_boundary(
    owner: Owner,
    user: Callable[[dict[str, Any]], None],
    laptop: Callable[..., Laptop],
    tmp_path: Path,
) -> None:
    as_administrator(owner, permissions.boundary_commands(Config(), "aws"), tmp_path)
    account = Aws(permissions_boundary=BOUNDARY, role_path="/boxes/")
    user(permissions.user_policy(Config(aws=account), "aws", boundary=True))
    with pytest.raises(CloudError, match="may not create roles"):
        laptop(region="eu-west-1").up()
    mine = laptop(aws=account, region="eu-west-1")
    armed = mine.up().deadline
    assert armed and armed.role_arn.startswith(f"arn:aws:iam::{ACCOUNT}:role/boxes/gpu-box-deadline-")
    made = owner("iam").get_role(RoleName="gpu-box-deadline-eu-west-1")["Role"]
    assert made["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    assert mine.observe().live[0].state is InstanceState.RUNNING
    assert mine.down().nothing_left
    owner("iam").delete_policy(PolicyArn=BOUNDARY)


def test_the_commands_for_an_administrator_name_this_account_in_the_trust_policy(
    role: str, owner: Owner
) -> None:
    [statement] = owner("iam").get_role(RoleName="gpu-box-deadline")["Role"]["AssumeRolePolicyDocument"][
        "Statement"
    ]
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:scheduler:*:{ACCOUNT}:schedule-group/default"},
    }
    assert boto3.Session().client("sts").get_caller_identity()["Account"] == ACCOUNT
