"""No variant of `gpu-box policy` lets its user become administrator, by AWS's rules as the embedded cloud has
them. The policies that made roles without a boundary did: each attempt is made with them, too, and succeeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config as SdkConfig
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from testbed.cloud import Cloud

from gpu_box.aws import permissions
from gpu_box.config.model import Aws, Config
from gpu_box.resources import local_policies
from local_aws.iam.evaluation import Need, allows

Policy = dict[str, Any]
ANYTHING = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
ADA = f"arn:aws:iam::{ACCOUNT}:user/ada"
NAMED, OWN = "gpu-box-deadline", "gpu-box-deadline-own"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/gpu-box-boundary"
WIDE = f"arn:aws:iam::{ACCOUNT}:policy/wide"
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def unbounded() -> Policy:
    """What `gpu-box policy` printed once: roles without a boundary."""
    parts = [json.loads(file.read_text())["Statement"] for file in local_policies()]
    return {"Version": "2012-10-17", "Statement": [one for part in parts for one in part]}


VARIANTS: dict[str, Callable[[], Policy]] = {
    "a role that is there": lambda: permissions.user_policy(Config(), "aws"),
    "its ARN in config.yaml": lambda: permissions.user_policy(
        Config(aws=Aws(deadline_role=f"arn:aws:iam::{ACCOUNT}:role/{NAMED}")), "aws"
    ),
    "within a boundary": lambda: permissions.user_policy(Config(), "aws", boundary=True),
    "within a company's boundary": lambda: permissions.user_policy(
        Config(aws=Aws(permissions_boundary=BOUNDARY)), "aws", boundary=True
    ),
}


class Ada:
    """A user with one of the policies, in an account that has the role, the boundary and an admin role."""

    def __init__(self, cloud: Cloud, policy: Policy) -> None:
        self.cloud = cloud
        iam = cloud.client("iam")
        trust, rights = permissions.role_documents("aws", region="*", account=ACCOUNT)
        for name in (NAMED, "admin"):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName=NAMED, PolicyName="stop", PolicyDocument=json.dumps(rights))
        iam.put_role_policy(RoleName="admin", PolicyName="all", PolicyDocument=json.dumps(ANYTHING))
        boundary = json.dumps(permissions.boundary_policy("aws"))
        iam.create_policy(PolicyName="gpu-box-boundary", PolicyDocument=boundary)
        iam.create_policy(PolicyName="wide", PolicyDocument=json.dumps(ANYTHING))
        iam.create_user(UserName="ada")
        iam.put_user_policy(UserName="ada", PolicyName="p", PolicyDocument=json.dumps(policy))
        pair = iam.create_access_key(UserName="ada")["AccessKey"]
        self.keys = {"key": pair["AccessKeyId"], "secret": pair["SecretAccessKey"]}

    def client(self, service: str, *, key: str = "", secret: str = "", token: str | None = None) -> Any:
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=self.cloud.endpoint,
            aws_access_key_id=key or self.keys["key"], aws_secret_access_key=secret or self.keys["secret"],
            aws_session_token=token, config=SdkConfig(retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def assumed(self, role: str) -> Any:
        """IAM as that role."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        made = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="ada")["Credentials"]
        return self.client(
            "iam", key=made["AccessKeyId"], secret=made["SecretAccessKey"], token=made["SessionToken"]
        )

    def create(self, **more: str) -> None:
        trust = {"Effect": "Allow", "Principal": {"AWS": ADA}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": trust})
        self.client("iam").create_role(RoleName=OWN, AssumeRolePolicyDocument=document, **more)

    def grant(self, role: str) -> None:
        self.client("iam").put_role_policy(
            RoleName=role, PolicyName="all", PolicyDocument=json.dumps(ANYTHING)
        )


@pytest.fixture
def ada(cloud: Cloud) -> Iterator[Callable[[Policy], Ada]]:
    yield lambda policy: Ada(cloud, policy)
    cloud.empty()


def become_administrator(ada: Ada, **more: str) -> None:
    """A role of ada's own, trusted to ada, with all rights; then a user made by it."""
    ada.create(**more)
    ada.grant(OWN)
    ada.assumed(OWN).create_user(UserName="mallory")


def without_a_boundary(ada: Ada) -> None:
    become_administrator(ada)


def with_a_wide_boundary(ada: Ada) -> None:
    become_administrator(ada, PermissionsBoundary=WIDE)


def with_the_boundary(ada: Ada) -> None:
    become_administrator(ada, PermissionsBoundary=BOUNDARY)


def boundary_taken_off(ada: Ada) -> None:
    ada.create(PermissionsBoundary=BOUNDARY)
    ada.client("iam").delete_role_permissions_boundary(RoleName=OWN)


def boundary_replaced(ada: Ada) -> None:
    ada.create(PermissionsBoundary=BOUNDARY)
    ada.client("iam").put_role_permissions_boundary(RoleName=OWN, PermissionsBoundary=WIDE)


def boundary_rewritten(ada: Ada) -> None:
    ada.client("iam").create_policy_version(
        PolicyArn=BOUNDARY, PolicyDocument=json.dumps(ANYTHING), SetAsDefault=True
    )


def named_role_widened(ada: Ada) -> None:
    ada.grant(NAMED)


def a_policy_attached(ada: Ada) -> None:
    ada.client("iam").attach_role_policy(RoleName=NAMED, PolicyArn=WIDE)


def named_role_taken_over(ada: Ada) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": ADA}, "Action": "sts:AssumeRole"}
    ada.client("iam").update_assume_role_policy(
        RoleName=NAMED, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
    )


def own_policy_widened(ada: Ada) -> None:
    ada.client("iam").put_user_policy(UserName="ada", PolicyName="all", PolicyDocument=json.dumps(ANYTHING))


def key_of_another(ada: Ada) -> None:
    ada.client("iam").create_access_key(UserName="ada")


ATTEMPTS = [
    without_a_boundary, with_a_wide_boundary, with_the_boundary, boundary_taken_off, boundary_replaced,
    boundary_rewritten, named_role_widened, a_policy_attached, named_role_taken_over, own_policy_widened,
    key_of_another,
]  # fmt: skip


def test_no_variant_lets_its_user_become_administrator(ada: Callable[[Policy], Ada], cloud: Cloud) -> None:
    for variant, policy in VARIANTS.items():
        for attempt in ATTEMPTS:
            user = ada(policy())
            with pytest.raises(ClientError) as refused:
                attempt(user)
            code = refused.value.response["Error"]["Code"]
            assert code in _DENIED, f"{variant}, {attempt.__name__}: {refused.value}"
            cloud.empty()


@pytest.mark.parametrize("attempt", [without_a_boundary, with_a_wide_boundary])
def test_roles_without_a_boundary_make_an_administrator(
    ada: Callable[[Policy], Ada], cloud: Cloud, attempt: Callable[[Ada], None]
) -> None:
    attempt(ada(unbounded()))
    assert "mallory" in [user["UserName"] for user in cloud.client("iam").list_users()["Users"]]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_administrator_succeeds_with_every_attempt_but_a_bounded_role(
    ada: Callable[[Policy], Ada], attempt: Callable[[Ada], None]
) -> None:
    """So no attempt fails by its own mistake. A boundary limits the role whatever user created it."""
    administrator = ada(ANYTHING)
    if attempt is with_the_boundary:
        with pytest.raises(ClientError, match="no permissions boundary allows the iam:CreateUser action"):
            attempt(administrator)
    else:
        attempt(administrator)


def handed_on(policy: Policy, role: str, service: str) -> bool:
    context = {"iam:PassedToService": service}
    return allows([policy], Need("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{role}", context))


def test_roles_are_handed_to_the_scheduler_alone() -> None:
    for variant, policy in VARIANTS.items():
        own = handed_on(policy(), OWN, permissions.SCHEDULER)
        assert own == ("boundary" in variant), variant
        assert handed_on(policy(), NAMED, permissions.SCHEDULER), variant
        for service in ("ec2.amazonaws.com", "lambda.amazonaws.com", "glue.amazonaws.com"):
            for role in (NAMED, OWN, "admin"):
                assert not handed_on(policy(), role, service), (variant, role, service)
        assert not handed_on(policy(), "admin", permissions.SCHEDULER), variant
        assert not handed_on(policy(), f"boxes/{NAMED}", permissions.SCHEDULER), variant
    assert handed_on(unbounded(), OWN, permissions.SCHEDULER)


def test_an_instance_cannot_be_given_a_role(ada: Callable[[Policy], Ada], cloud: Cloud) -> None:
    """EC2 would hand its credentials to the box."""
    user = ada(permissions.user_policy(Config(), "aws"))
    iam, ec2 = cloud.client("iam"), user.client("ec2")
    iam.create_instance_profile(InstanceProfileName="admin")
    iam.add_role_to_instance_profile(InstanceProfileName="admin", RoleName="admin")
    own = [{"Key": "gpu-box:name", "Value": "box"}]
    kinds = ("instance", "volume")
    request = {
        "ImageId": cloud.ubuntu(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "DryRun": True,
        "TagSpecifications": [{"ResourceType": kind, "Tags": own} for kind in kinds],
    }  # fmt: skip
    group = cloud.ec2.create_security_group(
        GroupName="own", Description="own",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": own}],
    )["GroupId"]  # fmt: skip
    request["SecurityGroupIds"] = [group]
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.run_instances(**request)
    with pytest.raises(ClientError, match=r"perform: iam:PassRole on resource: \S+:role/admin"):
        ec2.run_instances(**request, IamInstanceProfile={"Name": "admin"})


def test_the_printed_policy_writes_nothing_to_iam_but_the_pass_of_one_role() -> None:
    policy = permissions.user_policy(Config(), "aws")
    actions: dict[str, str] = {}
    for statement in policy["Statement"]:
        listed = statement["Action"]
        for action in [listed] if isinstance(listed, str) else listed:
            if action.startswith("iam:") and not action.startswith(("iam:Get", "iam:List")):
                actions[action] = statement["Resource"]
    assert actions == {"iam:PassRole": "arn:aws:iam::*:role/gpu-box-deadline"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_policy_fits_into_one_managed_policy(variant: str) -> None:
    """6,144 characters without white space (IAM User Guide, "IAM and AWS STS quotas")."""
    assert len("".join(json.dumps(VARIANTS[variant](), separators=(",", ":")).split())) <= 6144
