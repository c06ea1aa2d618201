"""AWS's price list, by GetProducts and the history of spot prices.

Prices are keyed by *usage type*, the name on AWS's bill, without its region's prefix: "BoxUsage:g4dn.xlarge",
"EBS:VolumeUsage.gp3". Each function raises CloudError and its kinds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from gpu_box.aws.answers import listed, malformed
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.errors import CloudError

UsagePrices = dict[str, str]
"""US dollars by usage type (spot prices by zone), as text, so that JSON keeps every digit."""

_REGION_PREFIX = re.compile(r"^[A-Z]{2,4}\d?-")


def instance_rates(cloud: Cloud, instance_type: str) -> UsagePrices:
    """One hour on demand with Linux; empty if AWS does not sell it there."""
    return _rates(
        cloud,
        instanceType=instance_type,
        operatingSystem="Linux",
        tenancy="Shared",
        preInstalledSw="NA",
        capacitystatus="Used",
    )


def disk_rates(cloud: Cloud, volume_type: str) -> UsagePrices:
    """Per GiB-month, per IOPS and per throughput, for those that are sold separately."""
    return _rates(cloud, volumeApiName=volume_type)


def snapshot_rates(cloud: Cloud) -> UsagePrices:
    return _rates(cloud, productFamily="Storage Snapshot")


def spot_rates(cloud: Cloud, instance_type: str) -> UsagePrices:
    """The current price of an hour, by zone."""
    now = datetime.now(UTC)
    with translated("reading spot prices"):
        # From now until now: returns the price in force in each zone.
        found = cloud.client("ec2", brisk=True).describe_spot_price_history(
            InstanceTypes=[instance_type], ProductDescriptions=["Linux/UNIX"], StartTime=now, EndTime=now
        )["SpotPriceHistory"]
    newest = sorted(found, key=lambda entry: entry["Timestamp"])
    return {entry["AvailabilityZone"]: entry["SpotPrice"] for entry in newest}


def _rates(cloud: Cloud, **attributes: str) -> UsagePrices:
    if cloud.partition != "aws":  # the price list does not know the account's credentials
        raise CloudError(f"AWS's price list cannot be read from {cloud.region}")
    wanted = {**attributes, "regionCode": cloud.region}
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
    with translated("reading prices"):
        client = cloud.client("pricing", region=_endpoint_region(cloud.region), brisk=True)
        texts = list(listed(client, "get_products", ServiceCode="AmazonEC2", Filters=filters))
    try:
        return dict(_usage_prices(map(json.loads, texts)))
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise malformed("GetProducts", "a product in it has another form") from error


def _endpoint_region(region: str) -> str:
    """Few regions serve the price list of all (AWS Billing User Guide, "Price List Query API")."""
    return "ap-south-1" if region.startswith(("ap-", "me-", "il-")) else "us-east-1"


def _usage_prices(products: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for product in products:
        usage = _REGION_PREFIX.sub("", product["product"]["attributes"].get("usagetype", ""))
        for offer in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in offer["priceDimensions"].values():
                usd = _amount(dimension)
                if usd:  # reservations are listed under the same product with a price of 0
                    yield usage, str(usd)


def _amount(dimension: Mapping[str, Any]) -> Decimal | None:
    """US dollars per unit; throughput, sold by GiB/s, is converted to MiB/s."""
    try:
        usd = Decimal(dimension["pricePerUnit"]["USD"])
    except (KeyError, InvalidOperation):
        return None
    return usd / 1024 if dimension.get("unit", "").lower() == "gibps-mo" else usd
