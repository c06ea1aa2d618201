"""The requests to AWS: `up` sends those that `doctor` tries, with texts that AWS accepts."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_box.aws import tags
from gpu_box.aws.deadline import read_owner
from gpu_box.aws.doctor import check_account
from gpu_box.box import image
from gpu_box.model.observed import BAKED

from .conftest import Laptop, Owner

OPERATIONS = ("RunInstances", "CreateSecurityGroup", "ImportKeyPair")


def asked(mine: Laptop) -> dict[str, dict[str, Any]]:
    """The last request of each operation from this laptop."""
    sent: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:

        def note(params: dict[str, Any], operation: str = operation, **_: Any) -> None:
            sent[operation] = dict(params)

        mine.cloud.ec2.meta.events.register(f"provide-client-params.ec2.{operation}", note)
    return sent


def settled(request: dict[str, Any]) -> dict[str, Any]:
    """Without values that differ between launches, and names that another step creates."""
    new = ("DryRun", "ClientToken", "UserData", "KeyName", "PublicKeyMaterial")
    rest = {key: value for key, value in request.items() if key not in new}
    for interface in rest.get("NetworkInterfaces", []):
        interface.pop("Groups", None)
    for specification in rest["TagSpecifications"]:
        specification["Tags"] = [
            tag for tag in specification["Tags"] if tag["Key"] not in (tags.GENERATION, tags.KEY)
        ]
    return rest


@pytest.mark.parametrize("market", ["on-demand", "spot"])
def test_doctor_tries_what_up_asks_for(laptop: Callable[..., Laptop], market: str) -> None:
    mine = laptop(market=market)
    sent = asked(mine)
    checks = check_account(mine.cloud, mine.observe())
    permissions = next(check for check in checks if check.name == "permissions")
    assert permissions.ok, permissions
    tried = dict(sent)
    assert all(request["DryRun"] for request in tried.values())
    sent.clear()
    mine.up()
    assert sent.keys() == tried.keys() == set(OPERATIONS)
    for operation, request in sent.items():
        assert settled(request) == settled(tried[operation])


@pytest.mark.parametrize("user", ["CORP\\o'neil", "o'neil, ada <ada@example.com>" + "!" * 300, "søren"])
def test_whatever_the_users_name_is_aws_takes_it(
    laptop: Callable[..., Laptop], owner: Owner, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    mine = laptop()
    up = mine.up()
    assert up.deadline is not None, "the role and the schedule are made, too"
    assert up.instance is not None and up.instance.owner == re.sub(r"[^\w +\-=.:/@]", "-", user[:256]).strip()
    assert read_owner(mine.cloud, tags.resource_name(mine.config)) == up.instance.owner
    stopped = mine.stop().instance
    assert stopped is not None and stopped.stop_asked is not None, "the stop is noted with its user"
    made = image.begin(mine.cloud, BAKED, mine.report)
    image.end(mine.cloud, made, mine.report)
    mine.down()


@given(st.text(max_size=300))
def test_any_text_becomes_a_tag_that_aws_takes(text: str) -> None:
    value = tags.tag_value(text)
    assert len(value) <= 256
    assert all(sign.isprintable() for sign in value)
    if text.isprintable() and len(text) <= 256:
        assert value == text
