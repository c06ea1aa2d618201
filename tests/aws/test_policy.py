"""infra/operator-policy.json and operator-roles.json: sufficient, minimal, no power over others' resources.

In the whole suite the embedded cloud enforces them; here an IAM user's statements are removed in turn.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from testbed.cloud import wait_until

from gpu_box.aws import quotas, tags
from gpu_box.aws.console import read_console_record
from gpu_box.aws.launch_options import read_launchable
from gpu_box.aws.prices.prices import read_price
from gpu_box.aws.relaunched import tag_again
from gpu_box.aws.sweep.sweep import remove, sweep
from gpu_box.aws.tags import tag_host_key
from gpu_box.box import doctor, image
from gpu_box.config.model import Network
from gpu_box.errors import CloudError, PermissionDenied
from gpu_box.model.observed import BAKED, InstanceState
from gpu_box.resources import local_policies

from .conftest import Laptop, Owner, Weather

# Of a user who may make roles, as in an account of their own; `test_escalation.py` has the others.
POLICIES: list[dict[str, Any]] = [json.loads(file.read_text()) for file in local_policies()]
STATEMENTS: list[dict[str, Any]] = [one for policy in POLICIES for one in policy["Statement"]]
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
SOURCE = Path(quotas.__file__).parent
USER = "operator"
# Services that gpu-box calls, by the SDK's name and by IAM's.
SERVICES = {
    "ec2": "ec2",
    "iam": "iam",
    "scheduler": "scheduler",
    "ssm": "ssm",
    "freetier": "freetier",
    "pricing": "pricing",
    "service-quotas": "servicequotas",
    "sts": "sts",
}
# Checked by AWS beside the call: tags of new resources, a role that is passed on, the
# service-linked role that EC2 creates.
BESIDE = {"iam:TagRole", "iam:PassRole", "iam:CreateServiceLinkedRole"}


def actions(statement: dict[str, Any]) -> list[str]:
    listed: str | list[str] = statement["Action"]
    return [listed] if isinstance(listed, str) else listed


class Operator:
    """The user with the policy, in the account of the embedded cloud."""

    def __init__(self, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
        self.owner = {service: owner(service) for service in ("iam", "ec2")}
        self.owner["iam"].create_user(UserName=USER)
        self.pair = self.owner["iam"].create_access_key(UserName=USER)["AccessKey"]
        self.may(STATEMENTS)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.pair["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.pair["SecretAccessKey"])

    def may(self, statements: list[dict[str, Any]]) -> None:
        policy = json.dumps({"Version": POLICIES[0]["Version"], "Statement": statements})
        self.owner["iam"].put_user_policy(UserName=USER, PolicyName="operator", PolicyDocument=policy)

    @contextmanager
    def without(self, sid: str) -> Iterator[None]:
        self.may([statement for statement in STATEMENTS if statement["Sid"] != sid])
        yield
        self.may(STATEMENTS)

    def leave(self) -> None:
        iam = self.owner["iam"]
        iam.delete_user_policy(UserName=USER, PolicyName="operator")
        iam.delete_access_key(UserName=USER, AccessKeyId=self.pair["AccessKeyId"])
        iam.delete_user(UserName=USER)


@pytest.fixture
def operator(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    one = Operator(owner, monkeypatch)
    yield one
    one.leave()


def life(mine: Laptop) -> None:
    """All of gpu-box's calls for a box, from `up` to `down`."""
    found = mine.up().instance
    assert found is not None
    tag_host_key(mine.cloud, found.id, HOST_KEY)
    read_console_record(mine.cloud, found.id)
    elsewhere = Network(allow_ssh_from=(ip_network("127.0.0.2/32"),))
    Laptop(replace(mine.config, network=elsewhere)).up()
    mine.stop()
    image.end(mine.cloud, image.begin(mine.cloud, BAKED, mine.report), mine.report)
    image.carry(mine.cloud, mine.report)
    mine.up()
    mine.down()


def test_the_whole_life_of_a_box_is_permitted(operator: Operator, laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    life(mine)
    assert mine.observe().nothing_left
    assert not [line for line in mine.report.lines if "NOT ARMED" in line]
    assert read_price(mine.cloud, "g4dn.xlarge", market="spot").source.startswith("spot in")
    assert [check for check in doctor.examine(mine.cloud) if not check.ok] == []


def test_a_sweep_under_the_policy_sees_and_removes_all_that_is_tagged(
    laptop: Callable[..., Laptop], weather: Weather, owner: Owner
) -> None:
    weather(regions=["us-east-1", "ca-central-1"])
    mine = laptop(region="ca-central-1")
    mine.up()
    ec2 = owner("ec2", "ca-central-1")

    def tagged(kind: str) -> list[dict[str, Any]]:
        own = {"gpu-box:name": mine.config.name, "gpu-box:owner": tags.owner(mine.config)}
        return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in own.items()]}]

    volume = ec2.create_volume(AvailabilityZone="ca-central-1a", Size=1, TagSpecifications=tagged("volume"))
    ec2.create_snapshot(VolumeId=volume["VolumeId"], TagSpecifications=tagged("snapshot"))
    ec2.allocate_address(TagSpecifications=tagged("elastic-ip"))
    found = mine.observe().instance
    assert found is not None
    ec2.create_image(InstanceId=found.id, Name="baked", TagSpecifications=tagged("image"))
    swept = sweep(mine.cloud, everything=True, report=mine.report)
    mine_alone = swept.mine(tags.owner(mine.config), mine.config.name)
    made = {"volume", "snapshot", "image", "address"}
    kinds = made | {"instance", "security group", "key pair", "schedule", "role"}
    assert {one.kind for one in mine_alone} == kinds
    done = remove(mine.cloud, mine_alone, report=mine.report, box=mine.config.name)
    assert (done.left, done.unread) == ((), ())
    assert (
        sweep(mine.cloud, everything=False, report=mine.report).mine(
            tags.owner(mine.config), mine.config.name
        )
        == ()
    )


def reads(mine: Laptop) -> None:
    mine.observe()


def counts_quotas(mine: Laptop) -> None:
    quotas.read_quotas(mine.cloud)


def asks_for_a_quota(mine: Laptop) -> None:
    # In a region of its own: an open request is reported, and not made again.
    there = Laptop(replace(mine.config, region="ap-south-1")).cloud
    quotas.request_increase(there, [replace(use, wanted=5_000) for use in quotas.read_quotas(there)])


def launches(mine: Laptop) -> None:
    mine.up()


def asks_for_spot(mine: Laptop) -> None:
    Laptop(replace(mine.config, market="spot")).up()


def publishes_the_host_key(mine: Laptop) -> None:
    found = mine.observe().instance
    assert found is not None
    tag_host_key(mine.cloud, found.id, HOST_KEY)


def tags_again(mine: Laptop) -> None:
    tag_again(mine.cloud, _relaunched(Laptop(replace(mine.config, market="spot"))))


def _relaunched(mine: Laptop) -> str:
    first = mine.up().instance
    assert first is not None
    mine.cloud.ec2.terminate_instances(InstanceIds=[first.id])
    wait_until(lambda: any(not one.tagged for one in mine.observe().live))
    return next(one.id for one in mine.observe().live if not one.tagged)


def bakes(mine: Laptop) -> None:
    image.begin(mine.cloud, BAKED, mine.report)


def removes(mine: Laptop) -> None:
    mine.down()


def test_an_image_whose_parameter_may_not_be_read_is_found_by_its_name(
    operator: Operator, laptop: Callable[..., Laptop]
) -> None:
    mine = laptop()
    by_parameter = read_launchable(mine.cloud).image_id
    with operator.without("FindTheImage"):
        assert read_launchable(mine.cloud).image_id == by_parameter
        assert mine.up().live


@pytest.mark.parametrize(
    ("sid", "does", "action"),
    [
        ("SeeWhatThereIs", reads, "ec2:Describe[A-Za-z]+"),
        ("SeePricesAndQuotas", counts_quotas, "servicequotas:GetServiceQuota"),
        ("AskForVcpus", asks_for_a_quota, "servicequotas:RequestServiceQuotaIncrease"),
        ("LaunchFromAnyImageInAnySubnet", launches, "ec2:RunInstances"),
        ("LaunchBehindOwnGroups", launches, "ec2:RunInstances"),
        ("MakeOnlyWhatIsTagged", launches, "ec2:(ImportKeyPair|CreateSecurityGroup)"),
        ("LaunchTagged", launches, "ec2:(AuthorizeSecurityGroupIngress|RunInstances)"),
        ("MakeImagesThatAreTagged", bakes, "ec2:CreateImage"),
        ("MakeImagesOfOwnInstances", bakes, "ec2:CreateImage"),
        ("MakeGroupsInAnyVpc", launches, "ec2:CreateSecurityGroup"),
        ("LetEc2MakeItsOwnRoleForSpot", asks_for_spot, "iam:CreateServiceLinkedRole.*"),
        ("TagWhileMaking", launches, "ec2:CreateTags"),
        ("TagOwnInstances", publishes_the_host_key, "ec2:CreateTags"),
        ("TagOwnSpotInstancesAgain", tags_again, "ec2:CreateTags"),
        ("ChangeAndRemoveOnlyWhatIsTagged", removes, "ec2:TerminateInstances"),
    ],
)
def test_without_a_statement_it_is_said_which_action_is_missing(
    operator: Operator,
    laptop: Callable[..., Laptop],
    sid: str,
    does: Callable[[Laptop], None],
    action: str,
) -> None:
    mine = laptop()
    with suppress(ClientError):  # as in an account that never had a spot instance
        operator.owner["iam"].delete_role(RoleName="AWSServiceRoleForEC2Spot")
    if does in (publishes_the_host_key, bakes, removes):
        mine.up()
    with operator.without(sid), pytest.raises(PermissionDenied) as denied:
        does(mine)
    assert re.search(rf"may not do this \({action}\)", str(denied.value))
    assert "gpu-box policy" in str(denied.value)


@pytest.mark.parametrize(
    ("sid", "action", "launched"),
    [
        ("ArmTheDeadline", "scheduler:CreateSchedule", True),
        ("MakeRolesThatStop", "your AWS user may not create roles", False),
        ("TagAndRemoveRolesThatStop", "your AWS user may not create roles", False),  # made with its tags
        ("LendThoseRolesToTheSchedulerAlone", "iam:PassRole", True),
    ],
)
def test_without_the_deadline_s_statements_no_box_starts_unless_its_user_agrees(
    operator: Operator, laptop: Callable[..., Laptop], sid: str, action: str, launched: bool
) -> None:
    """launched: AWS refuses only once there is an instance: it is stopped at once."""
    mine = laptop()
    with operator.without(sid):
        with pytest.raises(CloudError, match="--without-deadline") as refused:
            mine.up()
        assert action in str(refused.value)
        assert [one.state for one in mine.observe().live] == ([InstanceState.STOPPED] if launched else [])
        agreed = Laptop(replace(mine.config, without_deadline=True))
        observed = agreed.up()
        assert [one.state for one in observed.live] == [InstanceState.RUNNING]
        lines = [
            observed.deadline_unavailable,
            *(line for line in agreed.report.lines if "NOT ARMED" in line),
        ]
        assert any(lines)
        mine.down()


def test_without_the_right_to_see_the_role_it_is_said_which_action_is_missing(
    operator: Operator, laptop: Callable[..., Laptop]
) -> None:
    with operator.without("SeeTheRoleThatStops"):
        assert "iam:GetRole" in laptop().observe().deadline_unavailable


def test_where_only_the_arming_is_denied_the_new_box_is_stopped(
    operator: Operator, laptop: Callable[..., Laptop]
) -> None:
    mine = laptop()
    denied = {
        "Sid": "No", "Effect": "Deny", "Action": "scheduler:CreateSchedule", "Resource": "*",
    }  # fmt: skip
    operator.may([*STATEMENTS, denied])
    with pytest.raises(CloudError, match="may not do this.*--without-deadline"):
        mine.up()
    assert [one.state for one in mine.observe().live] == [InstanceState.STOPPED]


def test_every_statement_was_taken_away() -> None:
    marks = [
        mark
        for name, test in globals().items()
        if name.startswith("test_without")
        for mark in getattr(test, "pytestmark", ())
    ]
    # By the image's name: a test above; a role that an administrator created: test_given_role.py.
    done_without = {"FindTheImage", "SeeTheRoleThatStops", "LendThatRoleToTheSchedulerAlone"}
    taken_away = {row[0] for mark in marks for row in mark.args[1]} | done_without
    assert taken_away == {s["Sid"] for s in STATEMENTS}


def test_others_things_are_out_of_reach(operator: Operator) -> None:
    """With this policy alone, untagged resources cannot be removed, opened or taken over."""
    session = boto3.Session()
    theirs, mine = operator.owner["ec2"], session.client("ec2")
    group = theirs.create_security_group(GroupName="theirs", Description="theirs")["GroupId"]
    volume = theirs.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    for attempt in (
        lambda: mine.delete_volume(VolumeId=volume),
        lambda: mine.delete_security_group(GroupId=group),
        lambda: mine.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule]),
        lambda: mine.create_tags(Resources=[volume], Tags=[{"Key": "gpu-box:name", "Value": "mine-now"}]),
        lambda: mine.create_security_group(GroupName="untagged", Description="x"),
        lambda: session.client("iam").create_role(RoleName="admin", AssumeRolePolicyDocument="{}"),
        lambda: session.client("scheduler").delete_schedule(Name="theirs"),
        lambda: session.client("ssm").get_parameter(Name="/theirs/secret"),
    ):
        with pytest.raises(ClientError, match="is not authorized to perform"):
            attempt()
    theirs.delete_volume(VolumeId=volume)
    theirs.delete_security_group(GroupId=group)


def test_what_changes_things_names_what_it_may_change() -> None:
    for statement in STATEMENTS:
        reading = all(re.match(r"[a-z0-9]+:(Describe|Get|List)", action) for action in actions(statement))
        assert reading or statement["Resource"] != "*", statement["Sid"]
        assert not [action for action in actions(statement) if "*" in action]


def test_each_action_is_one_that_the_code_calls() -> None:
    called = {action for path in SOURCE.rglob("*.py") for action in calls_in(path)}
    free = {"sts:GetCallerIdentity"}  # needs no permission
    assert {action for s in STATEMENTS for action in actions(s)} == (called | BESIDE) - free


def calls_in(path: Path) -> Iterator[str]:
    """Every name in a file that is a method of an AWS client, in IAM's spelling."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
        if isinstance(name, str) and name in METHODS:
            yield METHODS[name]


def _methods() -> dict[str, str]:
    session = botocore.session.get_session()
    return {
        xform_name(operation): f"{prefix}:{operation}"
        for service, prefix in SERVICES.items()
        for operation in session.get_service_model(service).operation_names
    }


METHODS = _methods()
