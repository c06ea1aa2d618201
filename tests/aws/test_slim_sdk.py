"""The reduced EC2 service model: the SDK sends and reads the same with it as with its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel, StructureShape

from gpu_box.aws import slim_sdk
from gpu_box.aws.client import Cloud
from gpu_box.config.model import Config
from tests.paths import ROOT


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    model: dict[str, Any] = Loader().load_service_model("ec2", "service-2")
    return model


def test_every_operation_that_is_kept_is_described_to_the_last_member(whole: dict[str, Any]) -> None:
    wanted = {"RunInstances", "DescribeInstances", "CreateTags"}
    before = ServiceModel(whole, "ec2")
    after = ServiceModel(slim_sdk.reduced(whole, wanted), "ec2")
    assert set(after.operation_names) == wanted
    for name in wanted:
        for part in ("input_shape", "output_shape"):
            assert _members(getattr(after.operation_model(name), part)) == _members(
                getattr(before.operation_model(name), part)
            )


def _members(shape: Any) -> list[str]:
    found, seen = [], set()

    def walk(one: Any, path: str) -> None:
        found.append(f"{path}:{one.type_name}:{sorted(one.serialization.items())}")
        if one.name in seen or len(path) > 300:
            return
        seen.add(one.name)
        if isinstance(one, StructureShape):
            for name, member in one.members.items():
                walk(member, f"{path}.{name}")
        elif one.type_name == "list":
            walk(one.member, f"{path}[]")

    if shape is not None:
        walk(shape, shape.name)
    return found


def test_a_cache_folder_that_cannot_be_written_leaves_the_sdk_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    client = Cloud(Config(region="us-east-1")).ec2
    assert "describe_vpn_gateways" in client.meta.method_to_api_mapping


def test_another_release_of_the_sdk_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for version in ("1.0", "2.0", "2.0"):
        monkeypatch.setattr("botocore.__version__", version)
        session = botocore.session.get_session()
        slim_sdk.use_small_model(session)
        # Not per client: the walk, in this process, makes all clients from a model that it reads once.
        read = session.get_component("data_loader").load_service_model("ec2", "service-2")
        assert len(read["operations"]) < 60
    assert len(list((tmp_path / "gpu-box" / "models").iterdir())) == 2


def test_each_service_has_the_regions_and_addresses_of_the_sdk_s_own_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    own, small = botocore.session.get_session(), botocore.session.get_session()
    slim_sdk.use_small_model(small)
    assert (tmp_path / "gpu-box" / "models").exists()
    code = "".join(path.read_text() for path in (ROOT / "src" / "gpu_box").rglob("*.py"))
    asked = set(re.findall(r"""client\(\s*"([a-z0-9-]+)\"""", code))
    assert {"ec2", "iam", "scheduler", "sts"} <= asked
    for service in sorted(asked | {"sso", "sso-oidc", "signin"}):
        for partition in own.get_available_partitions():
            regions = own.get_available_regions(service, partition)
            assert small.get_available_regions(service, partition) == regions
            for region in (*regions[:2], "us-east-1", "us-gov-west-1"):
                first, second = (
                    session.create_client(
                        service, region, aws_access_key_id="a", aws_secret_access_key="b"
                    ).meta.endpoint_url
                    for session in (own, small)
                )
                assert first == second
