"""The endpoint: requested faults, prices, unimplemented calls, and who may reach it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectionClosedError
from testbed.cloud import Cloud, KeyFile

from local_aws import daemon

from ..errors import refused


def test_a_fault_hits_as_often_as_it_is_set_to(cloud: Cloud) -> None:
    fault = {
        "operation": "DescribeVpcs",
        "code": "RequestLimitExceeded",
        "status": 503,
        "skip": 1,
        "times": 2,
    }
    cloud.weather(faults=[fault])
    cloud.ec2.describe_vpcs()
    for _ in range(2):
        with refused("RequestLimitExceeded", status=503):
            cloud.ec2.describe_vpcs()
    cloud.ec2.describe_vpcs()


def test_a_call_that_never_arrives_has_no_effect(cloud: Cloud) -> None:
    cloud.weather(faults=[{"operation": "RunInstances"}])
    with pytest.raises(ConnectionClosedError):
        cloud.run()
    assert cloud.ec2.describe_instances()["Reservations"] == []


def test_a_call_whose_answer_is_lost_took_effect(cloud: Cloud) -> None:
    cloud.weather(faults=[{"operation": "RunInstances", "when": "after"}])
    with pytest.raises(ConnectionClosedError):
        cloud.run(ClientToken="once")
    [reservation] = cloud.ec2.describe_instances()["Reservations"]
    assert cloud.run(ClientToken="once") == reservation["Instances"][0]["InstanceId"]


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("iam", "GetRole", {"RoleName": "x"}),
        ("ssm", "GetParameter", {"Name": "x"}),
        ("scheduler", "GetSchedule", {"Name": "x"}),
        ("sts", "GetCallerIdentity", {}),
        ("service-quotas", "ListServiceQuotas", {"ServiceCode": "ec2"}),
        ("pricing", "GetProducts", {"ServiceCode": "AmazonEC2"}),
    ],
)
def test_every_service_can_be_struck(
    cloud: Cloud, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    cloud.weather(faults=[{"service": "*", "operation": operation, "code": "AccessDenied", "status": 403}])
    client = cloud.client(service)
    method = next(m for m, o in client.meta.method_to_api_mapping.items() if o == operation)
    with refused("AccessDenied", status=403):
        getattr(client, method)(**arguments)


def test_unknown_weather_is_refused_and_changes_nothing(cloud: Cloud) -> None:
    before = cloud.weather()
    for wrong in ({"rain": 1}, {"delays": {"boring": 1}}, {"faults": [{"what": 1}]}):
        assert cloud.http("POST", "/embedded/weather", wrong)[0] == 400
    assert cloud.weather() == before


def test_fair_weather_comes_back(cloud: Cloud) -> None:
    cloud.weather(quotas={"L-DB2E81BA": 0})
    assert cloud.http("DELETE", "/embedded/weather")[0] == 200
    assert cloud.weather()["quotas"]["L-DB2E81BA"] > 0


@pytest.mark.parametrize(
    ("service", "method", "arguments", "code"),
    [
        ("ec2", "describe_capacity_blocks", {}, "InvalidAction"),
        (
            "ec2",
            "describe_instances",
            {"Filters": [{"Name": "hypervisor", "Values": ["xen"]}]},
            "InvalidAction",
        ),
        ("cloudtrail", "lookup_events", {}, "UnknownOperationException"),
        ("compute-optimizer", "get_enrollment_status", {}, "UnknownOperationException"),
    ],
)
def test_what_is_not_implemented_says_so_as_aws_would(
    cloud: Cloud, service: str, method: str, arguments: dict[str, Any], code: str
) -> None:
    cloud.run()  # moto checks a filter only if there is something to filter
    with refused(code, saying="the embedded cloud does not implement"):
        getattr(cloud.client(service), method)(**arguments)


def test_on_demand_prices_are_those_of_the_table(cloud: Cloud) -> None:
    def price(**attributes: str) -> list[float]:
        filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in attributes.items()]
        answer = cloud.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=filters)
        offers = [json.loads(p)["terms"]["OnDemand"] for p in answer["PriceList"]]
        dimensions = [d for o in offers for term in o.values() for d in term["priceDimensions"].values()]
        return [float(d["pricePerUnit"]["USD"]) for d in dimensions]

    linux = {
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    assert price(instanceType="g4dn.xlarge", regionCode="us-east-1", **linux) == [0.526]
    assert price(instanceType="p5.48xlarge", regionCode="us-east-1", **linux) == [55.04]
    assert price(instanceType="nothing.xlarge", regionCode="us-east-1", **linux) == []
    assert price(productFamily="Storage", volumeApiName="gp3", regionCode="us-east-1") == [0.08]


def test_what_is_billed_is_named_as_on_a_bill(cloud: Cloud) -> None:
    def usages(region: str, **attributes: str) -> set[str]:
        filters = [
            {"Type": "TERM_MATCH", "Field": k, "Value": v}
            for k, v in (attributes | {"regionCode": region}).items()
        ]
        answer = cloud.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=filters)
        return {json.loads(p)["product"]["attributes"]["usagetype"] for p in answer["PriceList"]}

    speed = {"EBS:VolumeP-IOPS.gp3", "EBS:VolumeP-Throughput.gp3"}
    assert usages("us-east-1", volumeApiName="gp3") == {"EBS:VolumeUsage.gp3", *speed}
    assert usages("eu-west-2", instanceType="g5.xlarge") == {"EUW2-BoxUsage:g5.xlarge"}
    assert usages("ap-southeast-1", productFamily="Storage Snapshot") == {"APS1-EBS:SnapshotUsage"}


def test_checkip_tells_the_caller_its_address(cloud: Cloud) -> None:
    assert cloud.http("GET", "/checkip") == (200, b"127.0.0.1\n")


def test_status_counts_boxes_that_are_not_terminated(cloud: Cloud) -> None:
    def boxes() -> int:
        return int(json.loads(cloud.http("GET", "/embedded/status")[1])["boxes"])

    instance = cloud.wait(cloud.run(), "running")
    assert boxes() == 1
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    assert boxes() == 1
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert boxes() == 0


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")
def test_nothing_is_reached_from_beyond_loopback(cloud: Cloud, key: KeyFile) -> None:
    cloud.run_with_machine(key)
    running = daemon.status(cloud.home)
    assert running is not None
    ours = {os.readlink(fd) for fd in Path(f"/proc/{running.pid}/fd").iterdir() if fd.is_symlink()}
    listening = [
        line.split()
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    addresses = [
        entry[1] for entry in listening if f"socket:[{entry[9]}]" in ours and entry[3] in ("0A", "07")
    ]
    assert len(addresses) == 3, "the API, one machine, and its metadata"
    assert all(address.partition(":")[0].endswith("7F") for address in addresses)  # 127, little-endian


def test_a_key_that_was_never_given_out_is_refused(cloud: Cloud) -> None:
    def client(service: str) -> Any:
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=cloud.endpoint,
            aws_access_key_id="AKIA" + 16 * "A", aws_secret_access_key="guessed",
        )  # fmt: skip

    with refused("AuthFailure", status=401):
        client("ec2").describe_instances()
    with refused("InvalidClientTokenId", status=403):
        client("iam").list_roles()
    with refused("UnrecognizedClientException", status=400):
        client("ssm").describe_parameters()
    secrets = cloud.home / "embedded"
    assert secrets.stat().st_mode & 0o077 == 0
    assert (secrets / "credentials.json").stat().st_mode & 0o077 == 0
