"""Names, descriptions and tags that AWS refuses are refused, in AWS's words.

Each message is from the public report beside it; the limits are of EC2's API reference and of the service
models that botocore brings along.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testbed.cloud import Cloud, make_key

from ..errors import refused
from ..groups import make_group
from ..scheduler.test_scheduler import TRUST, make_role, schedule

THE_SET = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
# https://github.com/cds-snc/notification-terraform/pull/561
GROUP = (
    "Invalid security group description. Valid descriptions are strings less than 256 characters from the "
    f"following set:  {THE_SET}"
)
# https://github.com/aws-cloudformation/cfn-lint/issues/173
RULE = (
    "Invalid rule description. Valid descriptions are strings less than 256 characters from the following "
    f"set: {THE_SET}"
)
EVERY_SIGN = "az AZ 09 ._-:/()#,@[]+=&;{}!$*"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"Description": "its owner's address"}, GROUP),
        ({"Description": "x" * 256}, GROUP),
        # https://github.com/hashicorp/terraform-provider-aws/pull/43854
        (
            {"Description": "セキュリティグループ"},
            "Value (セキュリティグループ) for parameter GroupDescription is invalid. "
            "Character sets beyond ASCII are not supported.",
        ),
        # https://github.com/pulumi/pulumi-awsx/issues/328
        (
            {"GroupName": "sg-86c8964"},
            "Value (sg-86c8964) for parameter GroupName is invalid. "
            "Group names may not be in the format sg-*.",
        ),
        ({"GroupName": "ada's"}, f"from the following set:  {THE_SET}"),
    ],
)
def test_a_group_that_ec2_does_not_take(cloud: Cloud, asked: dict[str, str], message: str) -> None:
    for dry_run in (True, False):
        with refused("InvalidParameterValue", saying=message):
            cloud.ec2.create_security_group(
                **{"GroupName": "box", "Description": "box", **asked}, DryRun=dry_run
            )


def test_a_description_of_every_sign_that_ec2_takes(cloud: Cloud) -> None:
    described = {"Description": EVERY_SIGN}
    group = cloud.ec2.create_security_group(GroupName="g" * 255, **described)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    ranges = [{"CidrIp": "192.0.2.1/32", "Description": EVERY_SIGN.ljust(255, "x")}]
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**rule, "IpRanges": ranges}])


@pytest.mark.parametrize(
    "source",
    [
        {"IpRanges": [{"CidrIp": "192.0.2.1/32", "Description": "ada's"}]},
        {"Ipv6Ranges": [{"CidrIpv6": "2001:db8::1/128", "Description": "x" * 256}]},
        {"UserIdGroupPairs": [{"GroupId": "", "Description": "ada's"}]},
    ],
)
def test_a_rule_that_ec2_does_not_take(cloud: Cloud, source: dict[str, Any]) -> None:
    group = make_group(cloud)
    source.get("UserIdGroupPairs", [{}])[0]["GroupId"] = group
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **source}
    with refused("InvalidParameterValue", saying=RULE):
        cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])


TAGS: list[tuple[dict[str, str], str, str]] = [
    # https://github.com/skypilot-org/skypilot/pull/1992
    ({"k" * 129: "v"}, "InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters"),
    # https://github.com/iriusrisk/GoCD-EC2-Elastic-Agent-Plugin/issues/24
    ({"k": "v" * 257}, "InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters"),
    # https://github.com/jcjorel/ec2-spot-converter/issues/13
    (
        {"aws:cloudformation:stack-id": "v"},
        "InvalidParameterValue",
        "Tag keys starting with 'aws:' are reserved for internal use",
    ),
    ({f"k{n}": "v" for n in range(51)}, "TagLimitExceeded", "maximum number of Tags"),
]


@pytest.mark.parametrize(("tags", "code", "message"), TAGS)
def test_tags_that_ec2_does_not_take(cloud: Cloud, tags: dict[str, str], code: str, message: str) -> None:
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    with refused(code, saying=message):
        cloud.run(TagSpecifications=[{"ResourceType": "instance", "Tags": listed}])
    instance = cloud.run()
    with refused(code, saying=message):
        cloud.ec2.create_tags(Resources=[instance], Tags=listed)


def test_an_image_name_that_ec2_does_not_take(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    for name in ("a" * 129, "disk: ada"):
        # https://github.com/base2Services/shelvery-aws-backups/issues/28
        with refused("InvalidAMIName.Malformed", saying="AMI names must be between 3 and 128 characters"):
            cloud.ec2.create_image(InstanceId=instance, Name=name)
    for described in ("an em dash: \u2014", "x" * 256):
        with refused("InvalidParameterValue", saying="for parameter Description is invalid."):
            cloud.ec2.create_image(InstanceId=instance, Name="disk", Description=described)


@pytest.mark.parametrize("name", ["clé", "k" * 256])
def test_a_name_that_ec2_does_not_take(cloud: Cloud, name: str, tmp_path: Any) -> None:
    makes: list[Callable[[], Any]] = [
        lambda: cloud.ec2.create_placement_group(GroupName=name, Strategy="cluster"),
        lambda: cloud.ec2.import_key_pair(KeyName=name, PublicKeyMaterial=make_key(tmp_path).public.encode()),
    ]
    for make in makes:
        with refused("InvalidParameterValue", saying=f"Value ({name}) for parameter"):
            make()


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
    ],
)
def test_a_schedule_that_the_scheduler_does_not_take(
    cloud: Cloud, asked: dict[str, Any], message: str
) -> None:
    with refused("ValidationException", saying=message):
        cloud.client("scheduler").create_schedule(**schedule(cloud, "i-1", make_role(cloud), **asked))
