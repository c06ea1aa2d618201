"""The instance metadata service: its token, the instance's items, and interruption notices."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from botocore.utils import InstanceMetadataRegionFetcher
from testbed.cloud import Cloud, KeyFile, wait_until
from testbed.ssh import Ssh, reach

from local_aws.machines.metadata import Metadata

from ... import needs

TREE = {"instance-id": "i-1", "placement/region": "us-east-1", "placement/availability-zone": "us-east-1a"}
TTL = "x-aws-ec2-metadata-token-ttl-seconds"


@pytest.fixture
def metadata() -> Metadata:
    return Metadata(lambda: TREE)


def token(metadata: Metadata) -> dict[str, str]:
    status, text = metadata.answer("PUT", "/latest/api/token", {TTL: "60"})
    assert status == 200
    return {"x-aws-ec2-metadata-token": text}


def test_without_a_token_every_item_is_refused(metadata: Metadata) -> None:
    for headers in ({}, {"x-aws-ec2-metadata-token": "guessed"}):
        assert metadata.answer("GET", "/latest/meta-data/instance-id", headers)[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 400), ({TTL: "0"}, 400), ({TTL: "21601"}, 400), ({TTL: "60", "x-forwarded-for": "1.2.3.4"}, 403)],
)
def test_a_token_is_refused_to_who_asks_wrongly(
    metadata: Metadata, headers: dict[str, str], status: int
) -> None:
    assert metadata.answer("PUT", "/latest/api/token", headers)[0] == status


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("instance-id", "i-1"),
        ("placement/availability-zone/", "us-east-1a"),
        ("placement/", "availability-zone\nregion"),
        ("", "instance-id\nplacement/"),
    ],
)
def test_items_and_folders_are_returned(metadata: Metadata, path: str, item: str) -> None:
    assert metadata.answer("GET", f"/latest/meta-data/{path}", token(metadata)) == (200, item)


@pytest.mark.parametrize("path", ["/latest/meta-data/spot/instance-action", "/latest/meta-data/iam/", "/"])
def test_what_there_is_not_is_not_found(metadata: Metadata, path: str) -> None:
    assert metadata.answer("GET", path, token(metadata))[0] == 404


def ask(ssh: Ssh, path: str) -> str:
    """With curl on the machine, as in the EC2 User Guide; the status follows the answer."""
    base = "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest"
    return ssh.says(
        f'TOKEN=$(curl -s --noproxy "*" -X PUT {base}/api/token -H "{TTL}: 60") && curl -s --noproxy "*" '
        f'-w " %{{http_code}}" -H "X-aws-ec2-metadata-token: $TOKEN" {base}/meta-data/{path}'
    )


@needs.programs("curl")
def test_a_spot_machine_reads_its_interruption_notice(
    cloud: Cloud, key: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = cloud.run_with_machine(key, market="spot")
    ssh = reach(cloud, instance, key)
    assert ask(ssh, "instance-id") == f"{instance} 200"
    assert ask(ssh, "instance-life-cycle") == "spot 200"
    assert ask(ssh, "spot/instance-action").endswith("404")
    # AWS's client finds it, too, by the same variable.
    monkeypatch.setenv("no_proxy", "*")
    endpoint = ssh.says("echo $AWS_EC2_METADATA_SERVICE_ENDPOINT")
    fetcher = InstanceMetadataRegionFetcher(base_url=f"{endpoint}/", env={})
    assert fetcher.retrieve_region() == "us-east-1"

    before = datetime.now(UTC)
    cloud.weather(spot_capacity={"*": {"*": 0}}, spot_notice_s=100)
    wait_until(lambda: ask(ssh, "spot/instance-action").endswith(" 200"))
    item = json.loads(ask(ssh, "spot/instance-action").removesuffix(" 200"))
    assert item["action"] == "stop"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", item["time"])
    taken = datetime.fromisoformat(item["time"])
    assert before + timedelta(seconds=99) < taken < datetime.now(UTC) + timedelta(seconds=101)
    assert '"noticeTime"' in ask(ssh, "events/recommendations/rebalance")
