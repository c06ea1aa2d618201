"""infra/gpus.yaml: each row agrees with AWS's data, and names the quota of its type."""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import moto
import pytest
import yaml
from moto.ec2.models.instance_types import INSTANCE_TYPES

from gpu_box.aws.prices.catalogue import catalogue
from gpu_box.config import values
from gpu_box.config.read import SCHEMA
from gpu_box.model.price import GpuType
from gpu_box.resources import infra

RAW: dict[str, Any] = yaml.safe_load(infra("gpus.yaml").read_text())
TYPES = list(catalogue().types.values())


def _is_more(one: GpuType, *, than: GpuType) -> bool:
    family = one.name.split(".")[0] == than.name.split(".")[0]
    return family and one.count == than.count and one.vcpus > than.vcpus


@pytest.mark.parametrize("row", TYPES, ids=lambda row: row.name)
def test_a_row_is_what_aws_answers(row: GpuType) -> None:
    """moto keeps a copy of DescribeInstanceTypes' answers."""
    assert values.instance_type(row.name) == row.name
    known = INSTANCE_TYPES[row.name]
    assert known["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    assert (row.vcpus, row.gib * 1024) == (
        known["VCpuInfo"]["DefaultVCpus"],
        known["MemoryInfo"]["SizeInMiB"],
    )
    [gpu] = known["GpuInfo"]["Gpus"]
    assert (row.gpu, row.count) == (gpu["Name"], gpu["LogicalGpuCount"])
    assert 1 / row.share == gpu["GpuPartitionSize"]
    assert row.gpu_gib == round(known["GpuInfo"]["TotalGpuMemoryInMiB"] / 1024)
    assert row.usd_hour is None or row.usd_hour > 0


def test_the_table_has_every_x86_type_with_gpus_except_p3() -> None:
    offered = {
        name
        for name, known in INSTANCE_TYPES.items()
        if "GpuInfo" in known and known["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    }
    assert offered - set(catalogue().types) == {"p3dn.24xlarge"}
    assert not [name for name in catalogue().types if name.startswith("p3")]


@pytest.mark.parametrize("row", TYPES, ids=lambda row: row.name)
def test_a_type_has_a_quota_on_demand_and_spot(row: GpuType) -> None:
    quota = RAW["quotas"][row.name[0]]
    assert re.fullmatch("L-[0-9A-F]{8}", quota["on-demand"])
    assert re.fullmatch("L-[0-9A-F]{8}", quota["spot"])
    assert quota["on-demand"] != quota["spot"]


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [(a, b) for a in TYPES for b in TYPES if _is_more(b, than=a)],
    ids=lambda row: row.name,
)
def test_more_of_the_same_costs_more(smaller: GpuType, larger: GpuType) -> None:
    assert smaller.usd_hour is not None and larger.usd_hour is not None
    assert smaller.usd_hour < larger.usd_hour
    assert smaller.gib < larger.gib


def test_every_disk_that_a_config_may_ask_for_has_a_price() -> None:
    disk = SCHEMA["disk"]
    assert isinstance(disk, dict)
    for kind in ("gp3", "gp2", "io2"):
        assert disk["type"](kind) == kind
        assert catalogue().disk_gib_month[kind] > 0
    assert catalogue().public_ipv4_hour == Decimal("0.005")


def test_the_prices_say_of_when_they_are() -> None:
    assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", catalogue().prices_of)


@pytest.mark.parametrize("row", TYPES, ids=lambda row: row.name)
def test_a_type_has_the_local_nvme_that_aws_describes(row: GpuType) -> None:
    """moto keeps what DescribeInstanceTypes answered."""
    file = Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz"
    described = json.loads(gzip.decompress(file.read_bytes()))[row.name]
    assert row.nvme_gb == described.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0)
