"""The states of an instance, how long they last, and the transitions."""

from __future__ import annotations

import re
import time

from testbed.cloud import Cloud, wait_until

from ..errors import refused


def reason(cloud: Cloud, instance: str) -> tuple[str, str]:
    seen = cloud.see(instance)
    return seen["StateTransitionReason"], seen.get("StateReason", {}).get("Code", "")


def test_an_instance_is_pending_before_it_runs(cloud: Cloud) -> None:
    cloud.weather(delays={"pending": 0.4})
    instance = cloud.run()
    assert cloud.state(instance) == "pending"
    time.sleep(0.45)
    assert cloud.state(instance) == "running"


def test_an_instance_is_stopping_before_it_is_stopped_and_says_who_stopped_it(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    cloud.weather(delays={"stopping": 0.4})
    [answer] = cloud.ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"]
    assert (answer["PreviousState"]["Name"], answer["CurrentState"]["Name"]) == ("running", "stopping")
    assert cloud.state(instance) == "stopping"
    cloud.wait(instance, "stopped")
    said, code = reason(cloud, instance)
    assert re.fullmatch(r"User initiated \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT\)", said)
    assert code == "Client.UserInitiatedShutdown"
    assert "PublicIpAddress" not in cloud.see(instance)


def test_a_started_instance_has_a_new_address_and_launch_time_and_no_old_reason(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    before = cloud.see(instance)
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    time.sleep(1.0)  # EC2 gives LaunchTime in seconds
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    after = cloud.see(instance)
    assert after["LaunchTime"] > before["LaunchTime"]
    assert after["PublicIpAddress"] != before["PublicIpAddress"]
    assert reason(cloud, instance) == ("", "")


def test_termination_takes_a_while_and_is_final(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    cloud.weather(delays={"shutting-down": 0.4})
    [answer] = cloud.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"]
    assert answer["CurrentState"]["Name"] == cloud.state(instance) == "shutting-down"
    cloud.wait(instance, "terminated")
    assert reason(cloud, instance)[1] == "Client.UserInitiatedShutdown"
    for call in (cloud.ec2.start_instances, cloud.ec2.stop_instances):
        with refused("IncorrectInstanceState", saying=instance):
            call(InstanceIds=[instance])
    [again] = cloud.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"]
    assert again["CurrentState"]["Name"] == "terminated"


def test_stop_and_start_change_nothing_where_it_is_so_already(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    [answer] = cloud.ec2.start_instances(InstanceIds=[instance])["StartingInstances"]
    assert answer["CurrentState"]["Name"] == answer["PreviousState"]["Name"] == "running"
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    [answer] = cloud.ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"]
    assert answer["CurrentState"]["Name"] == "stopped"


def test_what_is_still_stopping_cannot_be_started(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    cloud.weather(delays={"stopping": 30})
    cloud.ec2.stop_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState", saying="is not in a state from which it can be started"):
        cloud.ec2.start_instances(InstanceIds=[instance])


def test_what_never_ran_cannot_be_stopped(cloud: Cloud) -> None:
    cloud.weather(delays={"pending": 30})
    instance = cloud.run()
    with refused("IncorrectInstanceState", saying="has never reached the 'running' state"):
        cloud.ec2.stop_instances(InstanceIds=[instance])


def test_a_launch_may_fail_after_it_was_accepted(cloud: Cloud) -> None:
    cloud.weather(launch_failures=[{"code": "Client.VolumeLimitExceeded"}])
    instance = cloud.wait(cloud.run(), "terminated")
    assert reason(cloud, instance)[1] == "Client.VolumeLimitExceeded"
    assert cloud.state(cloud.wait(cloud.run(), "running")) == "running"


def test_a_start_may_fail_after_it_was_accepted_and_the_disk_is_kept(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    zone = cloud.see(instance)["Placement"]["AvailabilityZone"]
    cloud.weather(launch_failures=[{"code": "Client.InternalError", "zone": zone}])
    cloud.ec2.start_instances(InstanceIds=[instance])
    wait_until(lambda: reason(cloud, instance)[1] == "Client.InternalError")
    assert cloud.state(instance) == "stopped"
    assert cloud.see(instance)["StateReason"]["Message"] == "Client.InternalError: Client error on launch"


def test_a_terminated_instance_is_forgotten_after_a_while(cloud: Cloud) -> None:
    instance = cloud.run()
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    cloud.weather(terminated_shown_s=0.1)
    wait_until(lambda: cloud.ec2.describe_instances()["Reservations"] == [])


def test_an_unknown_instance_is_not_found(cloud: Cloud) -> None:
    with refused("InvalidInstanceID.NotFound"):
        cloud.ec2.stop_instances(InstanceIds=["i-00000000000000000"])


def test_waiters_of_boto3_see_each_state(cloud: Cloud) -> None:
    instance = cloud.run()
    quick = {"Delay": 1, "MaxAttempts": 10}
    cloud.ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=quick)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig=quick)


def test_regions_do_not_see_each_others_instances(cloud: Cloud) -> None:
    cloud.run()
    assert cloud.client("ec2", "eu-west-1").describe_instances()["Reservations"] == []
