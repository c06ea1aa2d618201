"""Prices: figures that a user can check on AWS's price pages."""

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
    assert LESSON.source == "us-east-1 table of 2026-07"


def test_an_hour_is_instance_address_and_disk() -> None:
    assert LESSON.hour is not None
    assert LESSON.hour == Decimal("0.526") + Decimal("0.005") + Decimal(8) / 730
    assert format_money(LESSON.hour) == "$0.542"


def test_of_a_type_that_is_not_in_the_table_only_the_disk_s_price_is_known() -> None:
    price = price_of("m7i.large", "us-east-1", Disk(size_gib=50))
    assert (price.instance_hour, price.hour, price.gpu) == (None, None, None)
    assert price.disk_month == Decimal("4.00")


def test_another_region_s_prices_are_said_to_differ() -> None:
    source = price_of("g4dn.xlarge", "eu-west-1", Disk()).source
    assert source == "us-east-1 table of 2026-07, which eu-west-1 may differ from"


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
    assert set(gpu_types()) >= set(Config().instance_types)
    assert set(catalogue().disk_gib_month) >= {"gp3", "gp2", "io2"}


def test_a_type_without_a_price_in_the_table_still_has_its_gpus_in_the_plan() -> None:
    price = price_of("p5e.48xlarge", "us-east-1", Disk())
    assert price.hour is None
    assert str(price.gpu) == "8 x H200 (1128 GiB), 192 vCPUs, 2048 GiB"


def test_a_share_of_a_card_is_shown_as_one() -> None:
    assert str(catalogue().types["g6f.2xlarge"]) == "1/4 L4 (6 GiB), 8 vCPUs, 32 GiB"
