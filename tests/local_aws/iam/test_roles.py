"""Roles: what AWS refuses, in AWS's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testbed.cloud import Cloud

from ..errors import refused

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "scheduler.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


@pytest.fixture
def iam(cloud: Cloud) -> Any:
    return cloud.client("iam")


def test_a_role_s_name_is_unique_without_regard_to_case(iam: Any) -> None:
    iam.create_role(RoleName="Made", AssumeRolePolicyDocument=TRUST)
    with refused("EntityAlreadyExists", status=409, saying="Role with name mAde already exists."):
        iam.create_role(RoleName="mAde", AssumeRolePolicyDocument=TRUST)
    iam.delete_role(RoleName="Made")
    with refused("NoSuchEntity", status=404, saying="The role with name Made cannot be found."):
        iam.get_role(RoleName="Made")


def test_a_boundary_that_is_not_there_is_refused(iam: Any) -> None:
    nowhere = "arn:aws:iam::123456789012:policy/none"
    with refused(
        "NoSuchEntity", status=404, saying=f"Scope ARN: {nowhere} does not exist or is not attachable."
    ):
        iam.create_role(RoleName="bound", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=nowhere)
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    made = iam.create_policy(PolicyName="none", PolicyDocument=json.dumps(policy))["Policy"]["Arn"]
    iam.create_role(RoleName="bound", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=made)
    iam.delete_role(RoleName="bound")


def test_the_role_of_spot_has_aws_s_name_and_is_made_once(iam: Any) -> None:
    made = iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")["Role"]["RoleName"]
    assert made == "AWSServiceRoleForEC2Spot"
    with refused("InvalidInput", saying=f"Service role name {made} has been taken in this account"):
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    with refused("UnmodifiableEntity", saying=f"Cannot perform the operation on the protected role '{made}'"):
        iam.delete_role(RoleName=made)
