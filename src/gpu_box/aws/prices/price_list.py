"""What AWS's own price list says, by GetProducts and the history of spot prices.

Prices are told by *usage type*, the word by which AWS's bill calls what it counts, here without the prefix of
its region: "BoxUsage:g4dn.xlarge", "EBS:VolumeUsage.gp3". Each function raises CloudError and its kinds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated

UsagePrices = dict[str, str]
"""US dollars by usage type (by zone, of spot prices), as text: what JSON keeps to the last digit."""

_REGION_PREFIX = re.compile(r"^[A-Z]{2,4}\d?-")


def instance_rates(cloud: Cloud, instance_type: str) -> UsagePrices:
    """An hour of it on demand, with Linux; empty where AWS does not sell it there."""
    return _rates(
        cloud,
        instanceType=instance_type,
        operatingSystem="Linux",
        tenancy="Shared",
        preInstalledSw="NA",
        capacitystatus="Used",
    )


def disk_rates(cloud: Cloud, volume_type: str) -> UsagePrices:
    """Of its GiB (a month), its operations a second and its throughput, as far as each is sold."""
    return _rates(cloud, volumeApiName=volume_type)


def snapshot_rates(cloud: Cloud) -> UsagePrices:
    return _rates(cloud, productFamily="Storage Snapshot")


def spot_rates(cloud: Cloud, instance_type: str) -> UsagePrices:
    """What an hour of it costs now, by zone."""
    now = datetime.now(UTC)
    with translated("reading spot prices"):
        # From now until now: the price in force in each zone, whenever it was set.
        told = cloud.client("ec2", brisk=True).describe_spot_price_history(
            InstanceTypes=[instance_type],
            ProductDescriptions=["Linux/UNIX"],
            StartTime=now,
            EndTime=now,
        )["SpotPriceHistory"]
    newest = sorted(told, key=lambda entry: entry["Timestamp"])
    return {entry["AvailabilityZone"]: entry["SpotPrice"] for entry in newest}


def _rates(cloud: Cloud, **attributes: str) -> UsagePrices:
    wanted = {**attributes, "regionCode": cloud.region}
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
    with translated("asking for prices"):
        client = cloud.client("pricing", region=_where_asked(cloud.region), brisk=True)
        pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
        products = [json.loads(product) for page in pages for product in page["PriceList"]]
    return dict(_told(products))


def _where_asked(region: str) -> str:
    """The price list of all regions is served in a few (AWS Billing User Guide, "Price List Query API")."""
    return "ap-south-1" if region.startswith(("ap-", "me-", "il-")) else "us-east-1"


def _told(products: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for product in products:
        usage = _REGION_PREFIX.sub("", product["product"]["attributes"].get("usagetype", ""))
        for offer in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in offer["priceDimensions"].values():
                usd = _amount(dimension)
                if usd:  # reservations are listed under the same product, at nothing
                    yield usage, str(usd)


def _amount(dimension: Mapping[str, Any]) -> Decimal | None:
    """US dollars a unit; of throughput a MiB a second, which AWS sells by the GiB."""
    try:
        usd = Decimal(dimension["pricePerUnit"]["USD"])
    except (KeyError, InvalidOperation):
        return None
    return usd / 1024 if dimension.get("unit", "").lower() == "gibps-mo" else usd
