"""Regions outside AWS's global partition: their ARNs begin otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpu_box.aws import deadline, permissions, tags
from gpu_box.aws.client import Cloud
from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.model.observed import InstanceState
from tests.paths import ROOT

from .conftest import Laptop


@pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1", "eusc-de-east-1"])
def test_a_region_with_prices_of_its_own_is_refused_in_one_line(aws: dict[str, str], region: str) -> None:
    with pytest.raises(InputError, match=f"does not work in {region}: ") as refused:
        _ = Cloud(Config(region=region)).region
    assert "\n" not in str(refused.value)


def test_a_box_lives_in_govcloud(laptop: Callable[..., Laptop]) -> None:
    mine = laptop(region="us-gov-west-1")
    for _ in range(2):  # from nothing, and from stopped
        box = mine.up()
        assert box.instance and box.instance.state is InstanceState.RUNNING
        assert box.instance.zone.startswith("us-gov-west-1")
        assert box.deadline and box.deadline.broken == ""
        schedule = mine.cloud.client("scheduler").get_schedule(Name=tags.resource_name(mine.config))
        arns = re.findall(r"arn:[^:]+:", json.dumps(schedule, default=str))
        assert set(arns) == {"arn:aws-us-gov:"}
        assert mine.stop().instance
    mine.down()
    assert mine.observe().instance is None


def test_a_deadline_is_armed_in_govcloud(laptop: Callable[..., Laptop]) -> None:
    cloud = laptop(region="us-gov-west-1").cloud
    role, at = deadline.create_role(cloud), datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    assert role.startswith("arn:aws-us-gov:iam::")
    deadline.arm(cloud, instance_id="i-0123456789abcdef0", at=at, role_arn=role, ready=True)
    armed, _ = deadline.read_deadline(cloud)
    assert armed and (armed.broken, armed.at, armed.role_arn) == ("", at, role)
    deadline.disarm(cloud)
    assert deadline.delete_role(cloud)


@pytest.mark.parametrize("boundary", [False, True])
def test_all_arns_of_a_policy_are_of_the_partition(boundary: bool) -> None:
    policy = str(permissions.user_policy(Config(), "aws-us-gov", boundary=boundary))
    assert "arn:aws-us-gov:" in policy and "arn:aws:" not in policy
    commands = permissions.boundary_commands if boundary else permissions.role_commands
    assert "arn:aws:" not in commands(Config(), "aws-us-gov")


def test_no_code_assumes_the_partition() -> None:
    """Examples and the one place that replaces it aside."""
    found = {
        path.name
        for folder in ("gpu_box", "local_aws")
        for path in Path(ROOT / "src" / folder).rglob("*.py")
        if "arn:aws:" in path.read_text(encoding="utf-8")
    }
    assert found == {"permissions.py", "values.py", "authorization.py"}
