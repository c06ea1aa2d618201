"""DescribeRegions: only the regions of the caller's partition that are enabled for the account.

A region that is not enabled rejects the account's credentials (AWS Account Management Guide, "Specify which
AWS Regions your account can use"). moto lists every region, China's and the government's too, to any caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.utilities.utils import get_partition

from local_aws.faults import weather

_DISABLED = "not-opted-in"


def described(regions: Iterable[Any], *, here: str, names: list[str], every: bool) -> list[Any]:
    """here: the region of the endpoint. every: AllRegions, which includes regions that are not enabled."""
    own = [region for region in regions if get_partition(region.name) == get_partition(here)]
    unknown = sorted(set(names) - {region.name for region in own})
    if unknown:
        raise EC2ClientError("InvalidParameterValue", f"Invalid region names provided: {', '.join(unknown)}")
    # A region that is asked for by name is shown even if it is not enabled, as with AllRegions.
    wanted = [region for region in own if not names or region.name in names]
    return [region for region in wanted if every or names or _is_enabled(region)]


def accepts(name: str) -> bool:
    """Whether the region accepts this account's credentials. An unknown region belongs to another cloud."""
    regions: list[Any] = RegionsAndZonesBackend.regions
    region = next((region for region in regions if region.name == name), None)
    return region is None or _is_enabled(region)


def _is_enabled(region: Any) -> bool:
    chosen = weather().regions
    return region.name in chosen if chosen else bool(region.opt_in_status != _DISABLED)
