"""The routes of a VPC, as AWS has them."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.internet_gateways import InternetGateway
from moto.ec2.models.route_tables import Route as MotoRoute


class Route(MotoRoute):  # type: ignore[misc]
    @property
    def state(self) -> str:
        """EC2 API Reference, "Route": blackhole if the gateway is not attached to the VPC."""
        lost = isinstance(self.gateway, InternetGateway) and self.gateway.vpc is None
        return "blackhole" if lost else "active"


def open_to_internet(backend: Any, vpc: Any) -> None:
    """A default VPC has an internet gateway, and its main route table leads there.

    VPC User Guide, "Default VPC components".
    """
    gateway = backend.create_internet_gateway()
    backend.attach_internet_gateway(gateway.id, vpc.id)
    [table] = backend.describe_route_tables(filters={"vpc-id": [vpc.id], "association.main": ["true"]})
    backend.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)
