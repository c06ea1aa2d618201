"""GetConsoleOutput as in its API reference: late, cut, gone after an hour; `Latest` needs Nitro."""

from __future__ import annotations

import time

from testbed.cloud import Cloud, KeyFile, wait_until

from ..errors import refused


def shown(cloud: Cloud, instance: str, *, latest: bool = False) -> str:
    return str(cloud.ec2.get_console_output(InstanceId=instance, Latest=latest).get("Output", ""))


def test_it_is_late_cut_and_gone_after_a_while(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    (cloud.machine_folder(instance) / "console.log").write_text("first" + "x" * 70_000 + "last")
    cloud.weather(delays={"console": 1.0, "console-kept": 1.0})
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    assert "last" not in shown(cloud, instance), "not posted yet"
    now = shown(cloud, instance, latest=True)
    assert "last" in now and "first" not in now
    assert len(now.encode()) <= 64 * 1024
    wait_until(lambda: "last" in shown(cloud, instance))
    wait_until(lambda: not shown(cloud, instance) and not shown(cloud, instance, latest=True))


def test_the_latest_output_is_for_nitro_alone(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(InstanceType="m4.large"), "running")
    with refused("UnsupportedOperation", saying="latest console logs"):
        cloud.ec2.get_console_output(InstanceId=instance, Latest=True)
    cloud.ec2.get_console_output(InstanceId=instance)


def test_its_time_is_that_of_the_last_change_not_of_the_question(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    first = cloud.ec2.get_console_output(InstanceId=instance)["Timestamp"]
    time.sleep(1.1)  # it is given in whole seconds
    assert cloud.ec2.get_console_output(InstanceId=instance)["Timestamp"] == first
    assert cloud.ec2.get_console_output(InstanceId=instance, Latest=True)["Timestamp"] > first
