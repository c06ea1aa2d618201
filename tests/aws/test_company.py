"""What a company asks of an account: its tags on all that is made, its key, its rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_box.aws import tags
from gpu_box.config.model import Aws
from gpu_box.errors import PermissionDenied

from ..faults.stage import COST, UNTAGGED_DENIED
from .conftest import Laptop, Owner, Weather

KEY = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
COMPANY = Aws(tags=((COST, "ml-7"),), kms_key=KEY)


def test_all_that_is_made_has_the_company_s_tags_from_the_first_moment_and_its_key(
    laptop: Callable[..., Laptop], weather: Weather, owner: Owner
) -> None:
    weather(organisation=UNTAGGED_DENIED)
    mine = laptop(aws=COMPANY)
    instance = mine.up().instance
    assert instance is not None
    ec2 = owner("ec2")
    [volume] = ec2.describe_volumes(Filters=tags.of_box(mine.config))["Volumes"]
    assert volume["KmsKeyId"] == KEY
    [raw] = ec2.describe_instances(InstanceIds=[instance.id])["Reservations"][0]["Instances"]
    [nic] = ec2.describe_network_interfaces(
        NetworkInterfaceIds=[one["NetworkInterfaceId"] for one in raw["NetworkInterfaces"]]
    )["NetworkInterfaces"]
    assert {"Key": COST, "Value": "ml-7"} in nic["TagSet"]
    [group] = ec2.describe_security_groups(Filters=tags.of_box(mine.config))["SecurityGroups"]
    [pair] = ec2.describe_key_pairs(Filters=tags.of_box(mine.config))["KeyPairs"]
    for made in (raw, volume, group, pair):
        assert tags.tag_map(made)[COST] == "ml-7"
    role = owner("iam").get_role(RoleName=tags.role_name(mine.cloud.region))["Role"]
    # The region's role may have been made by another box of the account.
    assert tags.tag_map(role).get(COST, "ml-7") == "ml-7"
    assert mine.down().nothing_left


def test_an_organisation_that_denies_what_has_no_tag_is_named(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(organisation=UNTAGGED_DENIED)
    mine = laptop()
    with pytest.raises(PermissionDenied, match="service control policy of your organisation forbids"):
        mine.up()
    assert not mine.observe().live


@pytest.mark.parametrize("login", ["CORP\\ada", "o'brien", "ada@corp.example", "Zoë", "a\tb"])
def test_a_box_of_any_login_name_is_found_to_be_its_owner_s(
    laptop: Callable[..., Laptop], login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: login)
    mine = laptop()
    mine.up()
    assert laptop().up().instance is not None  # and not refused as another owner's
    [instance] = mine.observe().live
    assert instance.owner == tags.owner_tag(mine.config)
    assert not set(instance.owner) & set("\\'\t")
    mine.down()


def test_a_box_whose_tag_has_the_login_name_as_it_is_stays_its_owner_s(
    laptop: Callable[..., Laptop], owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As EC2 took it from earlier versions."""
    monkeypatch.setattr("getpass.getuser", lambda: "o'brien")
    mine = laptop()
    instance = mine.up().instance
    assert instance is not None
    owner("ec2").create_tags(Resources=[instance.id], Tags=[{"Key": tags.OWNER, "Value": "o'brien"}])
    assert laptop().up().instance is not None
