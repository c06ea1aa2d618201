"""`network.subnet`: one subnet per zone, tried in order; unusable ones are refused before anything is
created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gpu_box.box.preview import preview
from gpu_box.config.read import load
from gpu_box.errors import InputError

from .conftest import Laptop, Owner, Weather

Make = Callable[..., Laptop]
ABSENT = "subnet-00000000000000000"


class Company:
    """A VPC with subnets, as a company's network team creates it."""

    def __init__(self, ec2: Any, net: int) -> None:
        self.ec2, self.net, self.subnets = ec2, net, list[str]()
        self.vpc = ec2.create_vpc(CidrBlock=f"10.{net}.0.0/16")["Vpc"]["VpcId"]

    def subnet(self, zone: str) -> str:
        block = f"10.{self.net}.{len(self.subnets)}.0/24"
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=block, AvailabilityZone=f"us-east-1{zone}")
        self.subnets.append(made["Subnet"]["SubnetId"])
        return self.subnets[-1]

    def leave(self) -> None:
        for subnet in self.subnets:
            self.ec2.delete_subnet(SubnetId=subnet)


@pytest.fixture
def company(owner: Owner) -> Iterator[Company]:
    made = Company(owner("ec2"), 71)
    yield made
    made.leave()


@pytest.fixture
def other_company(owner: Owner) -> Iterator[Company]:
    made = Company(owner("ec2"), 72)
    yield made
    made.leave()


def on(mine: Laptop, *subnets: str, **settings: object) -> Laptop:
    network = replace(mine.config.network, subnet=subnets)
    return Laptop(replace(mine.config, network=network, **settings))


def test_the_next_subnet_is_tried_where_a_zone_has_no_capacity(
    company: Company, laptop: Make, weather: Weather
) -> None:
    second, first = company.subnet("b"), company.subnet("c")
    mine = on(laptop(), first, second)
    weather(capacity={"g4dn.xlarge": {"us-east-1c": 0, "*": 8}})
    instance = mine.up().instance
    assert instance is not None and instance.zone == "us-east-1b"
    assert any("us-east-1c" in line for line in mine.report.lines)
    [raw] = mine.cloud.ec2.describe_instances(InstanceIds=[instance.id])["Reservations"][0]["Instances"]
    assert raw["SubnetId"] == second and raw["VpcId"] == company.vpc
    mine.down()


def test_subnets_are_tried_in_their_order_and_only_in_the_zones_that_are_named(
    company: Company, laptop: Make
) -> None:
    b, c = company.subnet("b"), company.subnet("c")
    for subnets, zones, first in (((c, b), (), "c"), ((b, c), (), "b"), ((b, c), ("us-east-1c",), "c")):
        planned = preview(on(laptop(), *subnets, zones=zones).cloud)
        assert any(f"us-east-1{first}" in step.line for step in planned.steps), (subnets, zones)
    with pytest.raises(InputError, match="no zone 'us-east-1a' with a subnet"):
        on(laptop(), b, c, zones=("us-east-1a",)).up()


def test_two_subnets_of_one_zone_are_refused(company: Company, laptop: Make) -> None:
    one, two = company.subnet("b"), company.subnet("b")
    with pytest.raises(InputError, match=f"{one} and {two} are both in us-east-1b") as refused:
        on(laptop(), one, two).up()
    assert refused.value.where == "network.subnet"


def test_subnets_of_two_vpcs_are_refused(company: Company, other_company: Company, laptop: Make) -> None:
    one, two = company.subnet("b"), other_company.subnet("c")
    with pytest.raises(InputError, match="are in several VPCs") as refused:
        on(laptop(), one, two).up()
    assert all(word in refused.value.what for word in (one, two, company.vpc, other_company.vpc))


def test_the_subnet_that_is_not_there_is_named(company: Company, laptop: Make) -> None:
    here = company.subnet("b")
    with pytest.raises(InputError) as refused:
        on(laptop(), here, ABSENT).up()
    assert refused.value.what == f"no subnet {ABSENT} in us-east-1"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (ABSENT, (ABSENT,)),
        (f"[{ABSENT}, subnet-11111111111111111]", (ABSENT, "subnet-11111111111111111")),
        (f"[{ABSENT}, {ABSENT}]", (ABSENT,)),
        ("[]", ()),
    ],
)
def test_one_or_several_are_read(tmp_path: Any, text: str, read: tuple[str, ...]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"network: {{subnet: {text}}}\n")
    assert load(file, name=None).network.subnet == read
