"""Whether the internet reaches the config's subnets: their route tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpu_box.aws.answers import listed
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.errors import InputError, PermissionDenied


def refuse_unreachable(cloud: Cloud, subnets: Sequence[dict[str, Any]]) -> None:
    """Raise InputError for a subnet without a route to an internet gateway: SSH would wait there in vain.

    subnets: of one VPC. Nothing is refused if the user may not read route tables, or AWS shows none.
    """
    try:
        with translated("reading route tables"):
            vpc = {"Name": "vpc-id", "Values": [subnets[0]["VpcId"]]}
            tables = list(listed(cloud.ec2, "describe_route_tables", Filters=[vpc]))
    except PermissionDenied:
        return
    for subnet in subnets:
        table = _table_of(subnet["SubnetId"], tables)
        if table and not any(map(_leads_out, table.get("Routes", ()))):
            raise InputError(
                f"SSH cannot reach a box in {subnet['SubnetId']}: its route table "
                f"{table['RouteTableId']} has no route to an internet gateway",
                where="network.subnet",
                remedy="Use a public subnet, or add a route for 0.0.0.0/0 to an internet gateway.",
            )


def _table_of(subnet: str, tables: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The one that it is associated with; else its VPC's main one (API reference of DescribeRouteTables)."""
    links = [(link, table) for table in tables for link in table.get("Associations", ())]
    own = [table for link, table in links if link.get("SubnetId") == subnet]
    main = [table for link, table in links if link.get("Main")]
    return next(iter(own + main), None)


def _leads_out(route: dict[str, Any]) -> bool:
    """Also through a firewall, an appliance, or the gateway of a Wavelength zone or an Outpost.

    A route of IPv6 alone does not count: SSH goes to the public IPv4 address that each box has.
    """
    gateway = route.get("GatewayId", "")
    others = ("NetworkInterfaceId", "InstanceId", "CarrierGatewayId", "LocalGatewayId")
    # With a prefix list, an endpoint leads to S3 or DynamoDB.
    firewall = gateway.startswith("vpce-") and not route.get("DestinationPrefixListId")
    leads = gateway.startswith("igw-") or firewall or any(route.get(name) for name in others)
    return leads and not route.get("DestinationIpv6CidrBlock") and route.get("State") != "blackhole"
