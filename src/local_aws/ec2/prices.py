"""Spot prices: a plausible history, the same at each call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.utils import utcnow

from local_aws.ec2 import catalogue

_STEP = timedelta(hours=6)  # real spot prices change a few times a day
_KEPT = timedelta(days=90)  # EC2 keeps that much
_SHARE = (0.30, 0.65)  # of the on-demand price: the range of GPU types in 2025


def spot_history(region: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Newest first. As in EC2, the price in force at StartTime is included, though it was set before."""
    filters = {f["Name"]: f.get("Values", []) for f in params.get("Filters") or []}
    types = params.get("InstanceTypes") or filters.get("instance-type") or catalogue.priced_types()
    zone_wanted = params.get("AvailabilityZone")
    zones_wanted = [zone_wanted] if zone_wanted else filters.get("availability-zone")
    products = params.get("ProductDescriptions") or filters.get("product-description") or ["Linux/UNIX"]
    end = _naive(params.get("EndTime")) or utcnow()
    start = max(_naive(params.get("StartTime")) or end - _KEPT, utcnow() - _KEPT)
    found = [
        {
            "AvailabilityZone": zone,
            "InstanceType": instance_type,
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{price:.6f}",
            "Timestamp": moment,
        }
        for instance_type in types
        for zone in catalogue.zones_offering(region, instance_type)
        if (not zones_wanted or zone in zones_wanted) and any(p.startswith("Linux/UNIX") for p in products)
        for moment, price in _prices(instance_type, zone, start, end)
    ]
    found.sort(key=lambda entry: entry["Timestamp"], reverse=True)
    return found[: int(params.get("MaxResults") or 1000)]


def _prices(
    instance_type: str, zone: str, start: datetime, end: datetime
) -> Iterator[tuple[datetime, float]]:
    on_demand = catalogue.hourly_price(instance_type)
    if on_demand is None:
        return
    moment = end - (end - datetime.min) % _STEP
    while moment > start - _STEP:
        low, high = _SHARE
        yield moment, on_demand * (low + (high - low) * _chance(f"{instance_type} {zone} {moment}"))
        moment -= _STEP


def _chance(key: str) -> float:
    """A number from 0 to 1, always the same for a key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def _naive(moment: Any) -> datetime | None:
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    found: datetime = moment
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
