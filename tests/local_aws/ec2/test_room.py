"""Capacity and quotas, as the weather sets them."""

from __future__ import annotations

from testbed.cloud import SPOT, Cloud

from ..errors import refused


def test_a_zone_without_the_type_says_where_to_go(cloud: Cloud) -> None:
    cloud.weather(capacity={"g4dn.xlarge": {"us-east-1a": 0}})
    with refused("InsufficientInstanceCapacity", status=500, saying="us-east-1b"):
        cloud.run(Placement={"AvailabilityZone": "us-east-1a"})
    instance = cloud.run(Placement={"AvailabilityZone": "us-east-1b"})
    assert cloud.see(instance)["Placement"]["AvailabilityZone"] == "us-east-1b"


def test_where_no_zone_is_asked_for_one_with_capacity_is_chosen(cloud: Cloud) -> None:
    cloud.weather(capacity={"g4dn.xlarge": {"us-east-1a": 0}})
    assert cloud.see(cloud.run())["Placement"]["AvailabilityZone"] != "us-east-1a"


def test_capacity_can_be_gone_when_a_stopped_instance_is_started(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    cloud.weather(capacity={"*": {"*": 0}})
    with refused("InsufficientInstanceCapacity", status=500):
        cloud.ec2.start_instances(InstanceIds=[instance])
    assert cloud.state(instance) == "stopped"


def test_the_quota_counts_vcpus_that_run_and_those_wanted(cloud: Cloud) -> None:
    cloud.weather(quotas={"L-DB2E81BA": 8})  # a g4dn.xlarge has 4 vCPUs
    cloud.run()
    first = cloud.wait(cloud.run(), "running")
    with refused("VcpuLimitExceeded", saying="vCPU limit of 8"):
        cloud.run()
    cloud.run(InstanceType="m5.large")  # another family, another quota
    cloud.ec2.stop_instances(InstanceIds=[first])
    cloud.wait(first, "stopped")
    cloud.run()  # a stopped instance does not count


def test_a_new_account_has_no_gpu_quota(cloud: Cloud) -> None:
    cloud.weather(quotas={"L-417A185B": 0})
    with refused("VcpuLimitExceeded"):
        cloud.run(InstanceType="p4d.24xlarge")


def test_two_hundred_of_the_largest_are_refused(cloud: Cloud) -> None:
    with refused("VcpuLimitExceeded"):
        cloud.run(InstanceType="p5.48xlarge", MinCount=200, MaxCount=200)


def test_spot_has_quotas_of_its_own_and_counts_the_stopped(cloud: Cloud) -> None:
    cloud.weather(quotas={"L-3819A6DF": 4, "L-DB2E81BA": 0})
    instance = cloud.wait(cloud.run(InstanceMarketOptions=SPOT), "running")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    with refused("MaxSpotInstanceCountExceeded"):
        cloud.run(InstanceMarketOptions=SPOT)
    cloud.ec2.start_instances(InstanceIds=[instance])


def test_spot_capacity_is_apart(cloud: Cloud) -> None:
    cloud.weather(spot_capacity={"g4dn.xlarge": {"*": 0}})
    with refused("InsufficientInstanceCapacity", status=500, saying="Spot capacity"):
        cloud.run(InstanceMarketOptions={"MarketType": "spot"})
    cloud.run()


def test_service_quotas_tells_the_same_figures(cloud: Cloud) -> None:
    cloud.weather(quotas={"L-DB2E81BA": 4})
    quotas = cloud.client("service-quotas")
    limit = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-DB2E81BA")["Quota"]
    assert (limit["QuotaName"], limit["Value"]) == ("Running On-Demand G and VT instances", 4.0)
    listed = {q["QuotaCode"]: q["Value"] for q in quotas.list_service_quotas(ServiceCode="ec2")["Quotas"]}
    assert listed["L-DB2E81BA"] == 4.0
    assert {"L-417A185B", "L-3819A6DF", "L-7212CCBC"} <= listed.keys()
    asked = quotas.request_service_quota_increase(ServiceCode="ec2", QuotaCode="L-DB2E81BA", DesiredValue=8)[
        "RequestedQuota"
    ]
    assert asked["Status"] == "PENDING"
    history = quotas.list_requested_service_quota_change_history_by_quota(
        ServiceCode="ec2", QuotaCode="L-DB2E81BA"
    )
    assert [request["Id"] for request in history["RequestedQuotas"]] == [asked["Id"]]
    with refused("ResourceAlreadyExistsException"):
        quotas.request_service_quota_increase(ServiceCode="ec2", QuotaCode="L-DB2E81BA", DesiredValue=16)


def test_p5_has_a_spot_quota_of_its_own(cloud: Cloud) -> None:
    cloud.weather(quotas={"L-C4BD4855": 0, "L-7212CCBC": 999})
    with refused("MaxSpotInstanceCountExceeded"):
        cloud.run(InstanceType="p5.48xlarge", InstanceMarketOptions={"MarketType": "spot"})


def test_service_quotas_refuses_what_is_not_more_and_what_is_not_there(cloud: Cloud) -> None:
    quotas = cloud.client("service-quotas")
    with refused("IllegalArgumentException"):
        quotas.request_service_quota_increase(ServiceCode="ec2", QuotaCode="L-DB2E81BA", DesiredValue=1)
    with refused("NoSuchResourceException"):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000")
