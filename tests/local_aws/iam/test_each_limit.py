"""Each condition and each resource of the policies that `gpu-box policy` prints refuses something.

A row has a call that is refused, and one that is allowed and differs in one thing: so no row passes by its
own mistake.
"""

from __future__ import annotations

from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT

from gpu_box.aws import permissions
from gpu_box.config.model import Aws, Config
from local_aws.iam.evaluation import Need, allows, denies

from .test_escalation import ANYTHING, BOUNDARY, NAMED, OWN, VARIANTS, Policy

KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k"
MINE = {"aws:ResourceTag/gpu-box:name": "box"}
MADE = {"aws:RequestTag/gpu-box:name": "box"}
AGAIN = {**MADE, "aws:TagKeys": ["Name", "gpu-box:name"], "ec2:InstanceMarketType": "spot"}
SCHEDULER = {"iam:PassedToService": permissions.SCHEDULER}


def ec2(action: str, kind: str, **context: Any) -> Need:
    owner = "" if kind in ("image", "snapshot") else ACCOUNT
    return Need(f"ec2:{action}", f"arn:aws:ec2:us-east-1:{owner}:{kind}/x", context.get("given", {}))


def other(action: str, resource: str, **context: str) -> Need:
    return Need(action, resource, context)


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def schedule(name: str, group: str = "default") -> str:
    return f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/{group}/{name}"


EVERYWHERE: dict[str, tuple[Need, Need]] = {  # refused, allowed
    **{
        f"{action} of what is not gpu-box's": (ec2(action, kind), ec2(action, kind, given=MINE))
        for action, kind in [
            ("StopInstances", "instance"), ("StartInstances", "instance"), ("TerminateInstances", "instance"),
            ("ModifyInstanceAttribute", "instance"), ("GetConsoleOutput", "instance"),
            ("CreateImage", "instance"), ("DeleteVolume", "volume"), ("ModifyVolume", "volume"),
            ("DeleteSecurityGroup", "security-group"), ("AuthorizeSecurityGroupIngress", "security-group"),
            ("RevokeSecurityGroupIngress", "security-group"), ("DeleteKeyPair", "key-pair"),
            ("DeletePlacementGroup", "placement-group"), ("DeleteSnapshot", "snapshot"),
            ("DeregisterImage", "image"), ("CancelSpotInstanceRequests", "spot-instances-request"),
            ("ReleaseAddress", "elastic-ip"), ("RunInstances", "security-group"),
            ("RunInstances", "key-pair"), ("RunInstances", "placement-group"),
        ]
    },
    # IAM's guide leaves open whether aws:RequestTag is there for what a call makes, or for all that it uses.
    **{
        f"{action} with another's {kind} and a tag of what is made": (
            ec2(action, kind, given=MADE),
            ec2(action, kind, given=MADE | MINE),
        )
        for action, kind in [
            ("AuthorizeSecurityGroupIngress", "security-group"), ("RunInstances", "security-group"),
            ("RunInstances", "key-pair"), ("RunInstances", "placement-group"),
        ]
    },
    **{
        f"{action} without a tag on {kind}": (ec2(action, kind), ec2(action, kind, given=MADE))
        for action, kind in [
            ("RunInstances", "instance"), ("RunInstances", "volume"),
            ("CreateSecurityGroup", "security-group"), ("ImportKeyPair", "key-pair"),
            ("CreatePlacementGroup", "placement-group"), ("CreateImage", "image"),
            ("CreateImage", "snapshot"), ("AuthorizeSecurityGroupIngress", "security-group-rule"),
        ]
    },
    **{
        f"a tag on {kind} that is not being made": (
            ec2("CreateTags", kind, given={**MADE, "aws:TagKeys": ["gpu-box:name"]}),
            ec2("CreateTags", kind, given={**MADE, "ec2:CreateAction": "RunInstances"}),
        )
        for kind in ("instance", "volume", "security-group", "image", "key-pair")
    },
    "another's tag on an own instance": (
        ec2("CreateTags", "instance", given={**MINE, "aws:TagKeys": ["gpu-box:host-key", "CostCenter"]}),
        ec2("CreateTags", "instance", given={**MINE, "aws:TagKeys": ["gpu-box:host-key"]}),
    ),
    "taking over an instance on demand": (
        ec2("CreateTags", "instance", given={**AGAIN, "ec2:InstanceMarketType": "on-demand"}),
        ec2("CreateTags", "instance", given=AGAIN),
    ),
    "taking over a spot instance with a role": (
        ec2("CreateTags", "instance", given={**AGAIN, "ec2:InstanceProfile": "p"}),
        ec2("CreateTags", "instance", given=AGAIN),
    ),
    "taking over a spot instance with a name": (
        ec2("CreateTags", "instance", given={**AGAIN, "aws:ResourceTag/Name": "theirs"}),
        ec2("CreateTags", "instance", given=AGAIN),
    ),
    "another's tag on a spot instance": (
        ec2("CreateTags", "instance", given={**AGAIN, "aws:TagKeys": ["gpu-box:name", "CostCenter"]}),
        ec2("CreateTags", "instance", given=AGAIN),
    ),
    "a new owner of an own spot instance": (  # its tags are changed by TagOwnInstances alone
        ec2("CreateTags", "instance", given={**AGAIN, **MINE}),
        ec2("CreateTags", "instance", given=AGAIN),
    ),
    "another's schedule": (
        other("scheduler:DeleteSchedule", schedule("theirs")),
        other("scheduler:DeleteSchedule", schedule("gpu-box-x")),
    ),
    "a schedule in another group": (
        other("scheduler:CreateSchedule", schedule("gpu-box-x", "theirs")),
        other("scheduler:CreateSchedule", schedule("gpu-box-x")),
    ),
    "a secret parameter": (
        other("ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/theirs"),
        other("ssm:GetParameter", "arn:aws:ssm:us-east-1::parameter/aws/service/x"),
    ),
    "a quota of another service": (
        other(
            "servicequotas:RequestServiceQuotaIncrease",
            f"arn:aws:servicequotas:us-east-1:{ACCOUNT}:lambda/x",
        ),
        other(
            "servicequotas:RequestServiceQuotaIncrease", f"arn:aws:servicequotas:us-east-1:{ACCOUNT}:ec2/x"
        ),
    ),
    "another's role read": (other("iam:GetRole", role("admin")), other("iam:GetRole", role(NAMED))),
    "another's role passed": (
        Need("iam:PassRole", role("admin"), SCHEDULER), Need("iam:PassRole", role(NAMED), SCHEDULER),
    ),
}  # fmt: skip
OF_ROLES: dict[str, tuple[Need, Need]] = {
    **{
        f"{action} without the boundary": (
            other(f"iam:{action}", role(OWN)),
            other(f"iam:{action}", role(OWN), **{"iam:PermissionsBoundary": BOUNDARY}),
        )
        for action in ("CreateRole", "PutRolePolicy")
    },
    **{
        f"{action} of another's role": (
            other(f"iam:{action}", role("admin"), **{"iam:PermissionsBoundary": BOUNDARY}),
            other(f"iam:{action}", role(OWN), **{"iam:PermissionsBoundary": BOUNDARY}),
        )
        for action in ("CreateRole", "PutRolePolicy", "DeleteRole", "DeleteRolePolicy", "TagRole")
    },
    "an own role passed to EC2": (
        Need("iam:PassRole", role(OWN), {"iam:PassedToService": "ec2.amazonaws.com"}),
        Need("iam:PassRole", role(OWN), SCHEDULER),
    ),
    "the service's role of another service": (
        other(
            "iam:CreateServiceLinkedRole", role("aws-service-role/spot.amazonaws.com/x"),
            **{"iam:AWSServiceName": "ecs.amazonaws.com"},
        ),
        other(
            "iam:CreateServiceLinkedRole", role("aws-service-role/spot.amazonaws.com/x"),
            **{"iam:AWSServiceName": "spot.amazonaws.com"},
        ),
    ),
}  # fmt: skip
OF_THE_KEY: dict[str, tuple[Need, Need]] = {
    "what another service encrypted": (
        other("kms:Decrypt", KEY, **{"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
        other("kms:Decrypt", KEY, **{"kms:ViaService": "ec2.us-east-1.amazonaws.com"}),
    ),
    "another key": (
        other("kms:Decrypt", KEY + "2", **{"kms:ViaService": "ec2.us-east-1.amazonaws.com"}),
        other("kms:Decrypt", KEY, **{"kms:ViaService": "ec2.us-east-1.amazonaws.com"}),
    ),
    "the key for others": (
        other("kms:CreateGrant", KEY, **{"kms:GrantIsForAWSResource": "false"}),
        other("kms:CreateGrant", KEY, **{"kms:GrantIsForAWSResource": "true"}),
    ),
}
STOP = ec2("StopInstances", "instance", given=MINE)
BOUNDED = [name for name in VARIANTS if "boundary" in name]


def check(policy: Policy, rows: dict[str, tuple[Need, Need]]) -> None:
    assert [what for what, (refused, _) in rows.items() if allows([policy], refused)] == []
    assert [what for what, (_, allowed) in rows.items() if not allows([policy], allowed)] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_condition_and_resource_of_a_policy_refuses_something(variant: str) -> None:
    check(VARIANTS[variant](), EVERYWHERE)


@pytest.mark.parametrize("variant", BOUNDED)
def test_roles_are_made_and_changed_within_the_boundary_only(variant: str) -> None:
    check(VARIANTS[variant](), OF_ROLES)


def test_the_disk_s_key_is_for_disks_only() -> None:
    check(permissions.user_policy(Config(aws=Aws(kms_key=KEY)), "aws"), OF_THE_KEY)


@pytest.mark.parametrize("variant", BOUNDED)
def test_the_boundary_stays_whatever_other_policies_its_user_has(variant: str) -> None:
    policy = VARIANTS[variant]()
    for action in ("CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion", "DeletePolicy"):
        assert denies([policy, ANYTHING], other(f"iam:{action}", BOUNDARY)), action
    for action in ("DeleteRolePermissionsBoundary", "PutRolePermissionsBoundary"):
        assert denies([policy, ANYTHING], other(f"iam:{action}", role(OWN))), action
    assert not denies([policy, ANYTHING], other("iam:CreatePolicyVersion", BOUNDARY + "-of-others"))


def test_a_company_s_own_boundary_is_the_only_one_and_stays() -> None:
    own = f"arn:aws:iam::{ACCOUNT}:policy/of-the-company"
    policy = permissions.user_policy(Config(aws=Aws(permissions_boundary=own)), "aws", boundary=True)
    assert allows([policy], other("iam:CreateRole", role(OWN), **{"iam:PermissionsBoundary": own}))
    assert not allows([policy], other("iam:CreateRole", role(OWN), **{"iam:PermissionsBoundary": BOUNDARY}))
    assert denies([policy], other("iam:CreatePolicyVersion", own))


@pytest.mark.parametrize(
    "rights",
    [permissions.boundary_policy("aws"), permissions.role_documents("aws", region="*", account=ACCOUNT)[1]],
    ids=["the boundary", "the role"],
)
def test_the_deadline_s_role_stops_gpu_box_s_instances_and_nothing_else(rights: Policy) -> None:
    assert allows([rights], STOP)
    for need in (
        ec2("StopInstances", "instance"),
        ec2("TerminateInstances", "instance", given=MINE),
        other("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/mallory"),
    ):
        assert not allows([rights], need), need
