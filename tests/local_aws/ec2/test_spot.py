"""Spot instances and their requests."""

from __future__ import annotations

from typing import Any

from testbed.cloud import Cloud, wait_until

from ..errors import refused


def run_spot(cloud: Cloud, kind: str) -> str:
    kept = {"InstanceInterruptionBehavior": "stop"} if kind == "persistent" else {}
    options = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": kind, **kept}}
    tags = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "gpu-box:name", "Value": "box"}]}]
    return cloud.wait(cloud.run(InstanceMarketOptions=options, TagSpecifications=tags), "running")


def the_request(cloud: Cloud) -> dict[str, Any]:
    [request] = cloud.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    return dict(request)


def live(cloud: Cloud) -> list[str]:
    states = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    found = cloud.ec2.describe_instances(Filters=states)["Reservations"]
    return [i["InstanceId"] for r in found for i in r["Instances"]]


def test_a_spot_launch_makes_a_request(cloud: Cloud) -> None:
    instance = run_spot(cloud, "one-time")
    request = the_request(cloud)
    assert (request["State"], request["Status"]["Code"], request["Type"]) == (
        "active",
        "fulfilled",
        "one-time",
    )
    assert request["InstanceId"] == instance
    assert request["Tags"] == [{"Key": "gpu-box:name", "Value": "box"}]
    seen = cloud.see(instance)
    assert seen["InstanceLifecycle"] == "spot"
    assert seen["SpotInstanceRequestId"] == request["SpotInstanceRequestId"]


def test_requests_are_found_by_tag(cloud: Cloud) -> None:
    run_spot(cloud, "one-time")
    for value, count in (("box", 1), ("other", 0)):
        found = cloud.ec2.describe_spot_instance_requests(
            Filters=[{"Name": "tag:gpu-box:name", "Values": [value]}]
        )
        assert len(found["SpotInstanceRequests"]) == count


def test_a_one_time_spot_instance_cannot_be_stopped(cloud: Cloud) -> None:
    instance = run_spot(cloud, "one-time")
    with refused("UnsupportedOperation", saying="one-time Spot"):
        cloud.ec2.stop_instances(InstanceIds=[instance])


def test_a_spot_instance_keeps_its_type(cloud: Cloud) -> None:
    instance = run_spot(cloud, "persistent")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    with refused("UnsupportedOperation", saying="instance type"):
        cloud.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "g5.xlarge"})


def test_a_one_time_request_closes_with_its_instance(cloud: Cloud) -> None:
    instance = run_spot(cloud, "one-time")
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert the_request(cloud)["State"] == "closed"


def test_a_persistent_request_launches_again_until_it_is_cancelled(cloud: Cloud) -> None:
    first = run_spot(cloud, "persistent")
    cloud.ec2.terminate_instances(InstanceIds=[first])
    wait_until(lambda: bool(live(cloud)) and first not in live(cloud))
    [second] = live(cloud)
    assert the_request(cloud)["InstanceId"] == second
    cloud.wait(second, "running")

    cloud.ec2.cancel_spot_instance_requests(
        SpotInstanceRequestIds=[the_request(cloud)["SpotInstanceRequestId"]]
    )
    assert cloud.state(second) == "running", "cancelling leaves the instance"
    cloud.ec2.terminate_instances(InstanceIds=[second])
    cloud.wait(second, "terminated")
    assert the_request(cloud)["State"] == "cancelled"
    cloud.weather()  # time for a round
    assert live(cloud) == []


def test_a_persistent_spot_instance_stops_and_starts(cloud: Cloud) -> None:
    instance = run_spot(cloud, "persistent")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    assert the_request(cloud)["State"] == "disabled"
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    assert the_request(cloud)["State"] == "active"


def test_a_spot_instance_that_its_user_stopped_cannot_be_started_until_its_request_follows(
    cloud: Cloud,
) -> None:
    cloud.weather(delays={"spot-follows": 1.0})
    instance = run_spot(cloud, "persistent")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    assert status_of(cloud) == ("active", "marked-for-stop")
    cloud.wait(instance, "stopped")
    assert status_of(cloud) == ("active", "marked-for-stop")
    with refused("IncorrectSpotRequestState"):
        cloud.ec2.start_instances(InstanceIds=[instance])
    wait_until(lambda: status_of(cloud) == ("disabled", "instance-stopped-by-user"))
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    assert status_of(cloud) == ("active", "fulfilled")


def test_cancelling_the_request_of_a_stopped_spot_instance_ends_the_instance(cloud: Cloud) -> None:
    instance = run_spot(cloud, "persistent")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    cloud.ec2.cancel_spot_instance_requests(
        SpotInstanceRequestIds=[the_request(cloud)["SpotInstanceRequestId"]]
    )
    cloud.wait(instance, "terminated")
    assert the_request(cloud)["State"] == "cancelled"


def status_of(cloud: Cloud) -> tuple[str, str]:
    request = the_request(cloud)
    return request["State"], request["Status"]["Code"]


def test_aws_can_take_a_spot_instance_back(cloud: Cloud) -> None:
    cloud.weather(spot_notice_s=0.2)
    instance = run_spot(cloud, "one-time")
    assert cloud.http("POST", "/embedded/interrupt", {"instance": instance})[0] == 200
    cloud.wait(instance, "terminated")
    assert cloud.see(instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert status_of(cloud) == ("closed", "instance-terminated-no-capacity")


def test_an_instance_runs_on_until_its_notice_is_over(cloud: Cloud) -> None:
    instance = run_spot(cloud, "persistent")
    cloud.weather(spot_capacity={"*": {"*": 0}})
    wait_until(lambda: status_of(cloud) == ("active", "marked-for-stop"))
    assert cloud.state(instance) == "running"


def test_only_as_many_are_taken_back_as_there_is_no_room_for(cloud: Cloud) -> None:
    mine = [run_spot(cloud, "one-time") for _ in range(3)]
    zones = {cloud.see(instance)["Placement"]["AvailabilityZone"] for instance in mine}
    assert len(zones) == 1
    cloud.weather(spot_capacity={"*": {"*": 2}}, spot_notice_s=0.1)
    wait_until(lambda: len(live(cloud)) < 3)
    cloud.weather()  # time for a round
    assert len(live(cloud)) == 2


def test_an_interrupted_instance_is_stopped_and_only_aws_can_start_it(cloud: Cloud) -> None:
    instance = run_spot(cloud, "persistent")
    launched = cloud.see(instance)["LaunchTime"]
    cloud.weather(spot_capacity={"*": {"*": 0}}, spot_notice_s=0.1)
    cloud.wait(instance, "stopped")
    seen = cloud.see(instance)
    assert seen["StateReason"]["Code"] == "Server.SpotInstanceShutdown"
    assert seen["StateTransitionReason"].startswith("Server.SpotInstanceShutdown (")
    assert status_of(cloud) == ("disabled", "instance-stopped-no-capacity")
    with refused("IncorrectSpotRequestState"):
        cloud.ec2.start_instances(InstanceIds=[instance])

    cloud.weather(spot_capacity={})
    cloud.wait(instance, "running")
    assert status_of(cloud) == ("active", "fulfilled")
    assert cloud.see(instance)["LaunchTime"] >= launched
    assert live(cloud) == [instance]


def test_what_is_stopped_within_its_notice_stays_stopped_until_it_is_started(cloud: Cloud) -> None:
    instance = run_spot(cloud, "persistent")
    cloud.weather(spot_capacity={"*": {"*": 0}})
    wait_until(lambda: status_of(cloud)[1] == "marked-for-stop")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    assert status_of(cloud) == ("disabled", "instance-stopped-by-user")
    cloud.weather(spot_capacity={})
    cloud.weather()  # time for a round
    assert cloud.state(instance) == "stopped"
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")


def test_terminating_what_aws_has_stopped_and_cancelling_its_request_ends_it_for_good(cloud: Cloud) -> None:
    instance = run_spot(cloud, "persistent")
    cloud.weather(spot_capacity={"*": {"*": 0}}, spot_notice_s=0.0)
    cloud.wait(instance, "stopped")
    cloud.ec2.cancel_spot_instance_requests(
        SpotInstanceRequestIds=[the_request(cloud)["SpotInstanceRequestId"]]
    )
    cloud.weather(spot_capacity={})
    cloud.wait(instance, "terminated")
    cloud.weather()  # time for a round
    assert live(cloud) == []


def test_spot_prices_are_below_on_demand_and_the_same_when_asked_again(cloud: Cloud) -> None:
    def history() -> list[dict[str, Any]]:
        answer = cloud.ec2.describe_spot_price_history(
            InstanceTypes=["g5.xlarge"], ProductDescriptions=["Linux/UNIX"], MaxResults=20
        )
        return list(answer["SpotPriceHistory"])

    prices = [float(entry["SpotPrice"]) for entry in history()]
    assert len(prices) == 20
    assert all(0.2 < price < 1.006 for price in prices)
    assert len(set(prices)) > 1
    assert history() == history()
    assert [e["Timestamp"] for e in history()] == sorted((e["Timestamp"] for e in history()), reverse=True)
