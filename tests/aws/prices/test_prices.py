"""Money: figures that a user can check against AWS's own price pages."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_box.aws.prices.catalogue import Tiers, catalogue, gpu_types
from gpu_box.aws.prices.prices import price_of
from gpu_box.config.model import Config, Disk
from gpu_box.units import format_money

LESSON = price_of("g4dn.xlarge", "us-east-1", Disk())


def test_the_lesson_s_instance() -> None:
    assert LESSON.instance_hour == Decimal("0.526")
    assert LESSON.address_hour == Decimal("0.005")
    assert LESSON.disk_month == Decimal("8.00")
    assert LESSON.gpu is not None
    assert str(LESSON.gpu) == "T4 (16 GiB), 4 vCPUs, 16 GiB"
    assert LESSON.source == "us-east-1 table of 2026-08"


def test_an_hour_is_instance_address_and_disk() -> None:
    assert LESSON.hour is not None
    assert LESSON.hour == Decimal("0.526") + Decimal("0.005") + Decimal(8) / 730
    assert format_money(LESSON.hour) == "$0.542"


def test_of_a_type_that_is_not_in_the_table_only_the_disk_s_price_is_known() -> None:
    price = price_of("m7i.large", "us-east-1", Disk(size_gib=50))
    assert (price.instance_hour, price.hour, price.gpu) == (None, None, None)
    assert price.disk_month == Decimal("4.00")


def test_another_region_is_told_that_its_prices_may_differ() -> None:
    source = price_of("g4dn.xlarge", "eu-west-1", Disk()).source
    assert source == "us-east-1 table of 2026-08, which eu-west-1 may differ from"


@pytest.mark.parametrize(
    ("disk", "month"),
    [
        (Disk(size_gib=100, type="gp2"), "10.00"),
        (Disk(size_gib=100, iops=3_000, throughput_mib=125), "8.00"),
        (Disk(size_gib=100, iops=6_000), "23.00"),
        (Disk(size_gib=100, throughput_mib=500), "23.00"),
        (Disk(size_gib=100, type="io2", iops=10_000), "662.50"),
        (Disk(size_gib=100, type="io2", iops=70_000), "3756.50"),
    ],
)
def test_a_faster_disk_costs_what_its_speed_costs(disk: Disk, month: str) -> None:
    assert price_of("g4dn.xlarge", "us-east-1", disk).disk_month == Decimal(month)


@given(st.integers(-10, 10**6))
def test_tiers_without_steps_cost_nothing(amount: int) -> None:
    assert Tiers().cost(amount) == 0


@pytest.mark.parametrize(
    ("amount", "cost"), [(-1, 0), (0, 0), (10, 0), (11, 2), (20, 20), (21, 21), (30, 30)]
)
def test_each_tier_is_billed_for_what_falls_into_it(amount: int, cost: int) -> None:
    assert Tiers(((10, Decimal(2)), (20, Decimal(1)))).cost(amount) == cost


def test_the_table_is_whole() -> None:
    table = catalogue()
    assert set(gpu_types()) >= set(Config().instance_types)
    assert set(table.disk_gib_month) >= {"gp3", "gp2", "io2"}
    for name, kind in table.types.items():
        assert kind.name == name
        assert kind.usd_hour > 0
        assert kind.gpu_gib % kind.count == 0, name


def test_a_bigger_size_of_a_family_costs_more() -> None:
    by_family: dict[str, list[tuple[int, Decimal]]] = {}
    for name, kind in catalogue().types.items():
        by_family.setdefault(name.split(".")[0], []).append((kind.vcpus, kind.usd_hour))
    for sizes in by_family.values():
        assert sorted(sizes) == sorted(sizes, key=lambda size: size[1])
