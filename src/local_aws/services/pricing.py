"""The Price List service (GetProducts), which moto lacks: instances, volumes and snapshots.

The prices are those of us-east-1; other regions' are multiplied by a plausible, made-up factor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import BaseResponse

from local_aws.ec2 import catalogue

_AS_IN_US_EAST = ("us-east-1", "us-east-2", "us-west-2")
_ELSEWHERE = 1.2
_PUBLISHED = "2026-08-31T00:00:00Z"
_PAGE = 100
_IOPS = ("System Operation", "IOPS-Mo")


class PricingResponses(BaseResponse):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(service_name="pricing")

    def get_products(self) -> str:
        if self._get_param("ServiceCode") != "AmazonEC2":
            raise JsonRESTError("NotFoundException", "Invalid service code")
        wanted = {f["Field"]: f["Value"] for f in self._get_param("Filters") or []}
        region = wanted.get("regionCode", "us-east-1")
        found = [
            product
            for product in (*_instances(region), *_volumes(region), *_snapshots(region))
            if all(_attribute(product, field) == value for field, value in wanted.items())
        ]
        start = int(self._get_param("NextToken") or 0)
        size = int(self._get_param("MaxResults") or _PAGE)
        answer: dict[str, Any] = {
            "FormatVersion": "aws_v1",
            "PriceList": [json.dumps(product) for product in found[start : start + size]],
        }
        if start + size < len(found):
            answer["NextToken"] = str(start + size)
        return json.dumps(answer)


def _attribute(product: dict[str, Any], field: str) -> Any:
    details = product["product"]
    return details["productFamily"] if field == "productFamily" else details["attributes"].get(field)


def _instances(region: str) -> Iterator[dict[str, Any]]:
    for name in catalogue.priced_types():
        price = catalogue.hourly_price(name)
        assert price is not None
        attributes = {
            "servicecode": "AmazonEC2", "regionCode": region, "locationType": "AWS Region",
            "instanceType": name, **_size(name),
            "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA",
            "capacitystatus": "Used", "licenseModel": "No License required",
            "operation": "RunInstances", "marketoption": "OnDemand",
            "usagetype": _usage(region, f"BoxUsage:{name}"),
        }  # fmt: skip
        yield _product(f"I{name}", "Compute Instance", attributes, price * _factor(region), "Hrs")


def _size(instance_type: str) -> dict[str, str]:
    if not catalogue.exists(instance_type):  # retired: AWS still lists its price
        return {}
    return {
        "vcpu": str(catalogue.vcpus(instance_type)),
        "memory": f"{catalogue.memory_gib(instance_type):g} GiB",
    }


def _volumes(region: str) -> Iterator[dict[str, Any]]:
    for name, price in catalogue.volume_prices().items():
        yield _volume(region, name, f"EBS:VolumeUsage.{name}", "Storage", price, "GB-Mo")
    for usage, price in catalogue.speed_prices().items():
        name = usage.split(".")[1]
        family, unit = ("Provisioned Throughput", "GiBps-mo") if "Throughput" in usage else _IOPS
        yield _volume(region, name, usage, family, price, unit)


def _volume(region: str, name: str, usage: str, family: str, price: float, unit: str) -> dict[str, Any]:
    attributes = {
        "servicecode": "AmazonEC2", "regionCode": region, "locationType": "AWS Region",
        "volumeApiName": name, "usagetype": _usage(region, usage),
    }  # fmt: skip
    return _product(usage, family, attributes, price * _factor(region), unit)


def _snapshots(region: str) -> Iterator[dict[str, Any]]:
    attributes = {
        "servicecode": "AmazonEC2", "regionCode": region, "locationType": "AWS Region",
        "usagetype": _usage(region, "EBS:SnapshotUsage"),
    }  # fmt: skip
    price = catalogue.snapshot_price() * _factor(region)
    yield _product("EBSSnapshotUsage", "Storage Snapshot", attributes, price, "GB-Mo")


def _usage(region: str, usage: str) -> str:
    """The usage type on bills: with the region's prefix, which us-east-1 lacks ("EUW2-BoxUsage:...")."""
    if region == "us-east-1":
        return usage
    area, *compass, number = region.split("-")
    return f"{area.upper()}{''.join(word[0].upper() for word in compass)}{number}-{usage}"


def _factor(region: str) -> float:
    return 1.0 if region in _AS_IN_US_EAST else _ELSEWHERE


def _product(sku: str, family: str, attributes: dict[str, str], price: float, unit: str) -> dict[str, Any]:
    sku = "".join(c for c in sku.upper() if c.isalnum()).ljust(16, "0")
    rate = f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    dimension = {
        "rateCode": rate, "unit": unit, "beginRange": "0", "endRange": "Inf",
        "description": f"${price:.10f} per {unit}", "appliesTo": [], "pricePerUnit": {"USD": f"{price:.10f}"},
    }  # fmt: skip
    offer = {
        "sku": sku, "offerTermCode": "JRTCKXETXF", "effectiveDate": _PUBLISHED,
        "termAttributes": {}, "priceDimensions": {rate: dimension},
    }  # fmt: skip
    return {
        "product": {"productFamily": family, "attributes": attributes, "sku": sku},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": offer}},
        "version": "20260831000000",
        "publicationDate": _PUBLISHED,
    }
