"""infra/gpus.yaml: each row is one that AWS would sign, and has the quota that a first-timer meets."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
import yaml

from gpu_box.aws.prices.catalogue import catalogue
from gpu_box.config import values
from gpu_box.config.read import SCHEMA
from gpu_box.model.price import GpuType
from gpu_box.resources import infra

RAW: dict[str, Any] = yaml.safe_load(infra("gpus.yaml").read_text())
TYPES = list(catalogue().types.values())
# GiB of one GPU, by their makers' data sheets.
GPU_GIB = {"T4": 16, "A10G": 24, "L4": 24, "L40S": 48, "V100": 16, "A100": 40, "H100": 80}


@pytest.mark.parametrize("row", TYPES, ids=lambda row: row.name)
def test_a_type_is_what_its_gpus_make_it(row: GpuType) -> None:
    assert values.instance_type(row.name) == row.name
    assert row.gpu_gib == row.count * GPU_GIB[row.gpu]
    assert row.gib >= 4 * row.vcpus
    assert row.usd_hour > 0


@pytest.mark.parametrize("row", TYPES, ids=lambda row: row.name)
def test_a_type_has_a_quota_on_demand_and_spot(row: GpuType) -> None:
    quota = RAW["quotas"][row.name[0]]
    assert re.fullmatch("L-[0-9A-F]{8}", quota["on-demand"])
    assert re.fullmatch("L-[0-9A-F]{8}", quota["spot"])
    assert quota["on-demand"] != quota["spot"]


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [(a, b) for a in TYPES for b in TYPES if a.gpu == b.gpu and a.vcpus < b.vcpus],
    ids=lambda row: row.name,
)
def test_more_of_the_same_costs_more(smaller: GpuType, larger: GpuType) -> None:
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
