"""`network.subnet`: one subnet per zone, tried in order; unusable ones are refused before anything is
created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_box.aws.routes import refuse_unreachable
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
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        [self.main] = self.tables()
        self.route(self.main, "0.0.0.0/0", GatewayId=self.gateway)

    def tables(self) -> list[str]:
        vpc = [{"Name": "vpc-id", "Values": [self.vpc]}]
        return [one["RouteTableId"] for one in self.ec2.describe_route_tables(Filters=vpc)["RouteTables"]]

    def route(self, table: str, block: str, **target: str) -> None:
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock=block, **target)

    def table_for(self, subnet: str) -> str:
        """A route table of its own, with the local route only."""
        table: str = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return table

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


def test_a_subnet_that_the_internet_does_not_reach_is_refused(company: Company, laptop: Make) -> None:
    public, private = company.subnet("b"), company.subnet("c")
    table = company.table_for(private)
    nat = company.ec2.create_nat_gateway(SubnetId=public, ConnectivityType="private")["NatGateway"]
    company.route(table, "0.0.0.0/0", NatGatewayId=nat["NatGatewayId"])
    with pytest.raises(InputError, match=f"SSH cannot reach a box in {private}") as refused:
        on(laptop(), public, private).up()
    assert table in refused.value.what and refused.value.where == "network.subnet"
    preview(on(laptop(), public).cloud)
    company.ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])


def test_a_public_subnet_of_a_private_vpc_is_no_reason_to_refuse(company: Company, laptop: Make) -> None:
    public, private = company.subnet("b"), company.subnet("c")
    company.route(company.table_for(public), "0.0.0.0/0", GatewayId=company.gateway)
    company.ec2.delete_route(RouteTableId=company.main, DestinationCidrBlock="0.0.0.0/0")
    assert preview(on(laptop(), public).cloud).steps
    with pytest.raises(InputError, match=f"in {private}: its route table {company.main} has no route"):
        preview(on(laptop(), private).cloud)


def test_a_route_to_a_gateway_that_is_detached_leads_nowhere(company: Company, laptop: Make) -> None:
    here = company.subnet("b")
    company.ec2.detach_internet_gateway(InternetGatewayId=company.gateway, VpcId=company.vpc)
    with pytest.raises(InputError, match=f"{company.main} has no route to an internet gateway"):
        preview(on(laptop(), here).cloud)


def test_without_the_permission_to_read_routes_nothing_is_refused(
    company: Company, laptop: Make, weather: Weather
) -> None:
    here = company.subnet("b")
    company.table_for(here)
    weather(faults=[{"operation": "DescribeRouteTables", "code": "UnauthorizedOperation", "times": 0}])
    assert preview(on(laptop(), here).cloud).steps


@pytest.mark.parametrize(
    ("route", "leads"),
    [
        ({"GatewayId": "igw-1"}, True),
        ({"GatewayId": "igw-1", "DestinationCidrBlock": "198.51.100.0/24"}, True),  # an office
        ({"GatewayId": "igw-1", "State": "blackhole"}, False),
        ({"GatewayId": "igw-1", "DestinationIpv6CidrBlock": "::/0"}, False),  # SSH goes by IPv4
        ({"EgressOnlyInternetGatewayId": "eigw-1"}, False),
        ({"GatewayId": "local"}, False),
        ({"GatewayId": "vgw-1"}, False),
        ({"NatGatewayId": "nat-1"}, False),
        ({"TransitGatewayId": "tgw-1"}, False),
        ({"VpcPeeringConnectionId": "pcx-1"}, False),
        ({"GatewayId": "vpce-1"}, True),  # a firewall, AWS Network Firewall "Route table configurations"
        ({"GatewayId": "vpce-1", "DestinationPrefixListId": "pl-1"}, False),  # S3
        ({"NetworkInterfaceId": "eni-1"}, True),  # an appliance
    ],
)
def test_routes_that_lead_to_the_internet(route: dict[str, str], leads: bool) -> None:
    tables = [{"RouteTableId": "rtb-1", "Associations": [{"Main": True}], "Routes": [route]}]
    cloud: Any = SimpleNamespace(ec2=Tables(tables))
    with nullcontext() if leads else pytest.raises(InputError):
        refuse_unreachable(cloud, [{"SubnetId": ABSENT, "VpcId": "vpc-1"}])


class Tables:
    """An EC2 client that answers with these route tables."""

    result_keys = (SimpleNamespace(expression="RouteTables"),)

    def __init__(self, tables: list[dict[str, Any]]) -> None:
        self.tables = tables

    def get_paginator(self, _: str) -> Tables:
        return self

    def paginate(self, **_: object) -> list[dict[str, Any]]:
        return [{"RouteTables": self.tables}]


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
