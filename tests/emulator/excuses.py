"""What ministack 1.5.33 does otherwise than AWS, one by one, with AWS's answer in its place.

Each has to be needed by the story (test_emulator.py): one that is not fails it. What else ministack answers,
gpu-box has to cope with: it has no GetConsoleOutput, prices, quotas or plans of accounts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Answer = dict[str, Any]
# The request's parameters, the answer, and a client of EC2 without excuses. Mends the answer if it is wrong;
# returns whether it was.
Mend = Callable[[dict[str, Any], Answer, Any], bool]


@dataclass(frozen=True)
class Excuse:
    call: str  # "service.Operation"
    why: str
    mend: Mend

    def __str__(self) -> str:
        return f"{self.call}: {self.why}"


def _offerings(asked: dict[str, Any], answer: Answer, _: Any) -> bool:
    if "Error" not in answer:
        return False
    types = [value for one in asked["Filters"] if one["Name"] == "instance-type" for value in one["Values"]]
    offered = [{"InstanceType": kind, "Location": f"us-east-1{zone}"} for kind in types for zone in "abc"]
    answer.clear()
    answer["InstanceTypeOfferings"] = offered
    return True


def _tags(raw: Any) -> dict[str, dict[str, str]]:
    """Those of each instance."""
    return {
        instance["InstanceId"]: {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
        for instance in _instances(raw.describe_instances())
        if instance["State"]["Name"] != "terminated"
    }


def _volumes(asked: dict[str, Any], answer: Answer, raw: Any) -> bool:
    """Those of instances with the tags that are asked for, which RunInstances was to give them, too."""
    filters = asked.get("Filters", [])
    wanted = {one["Name"].removeprefix("tag:"): one["Values"] for one in filters if "tag:" in one["Name"]}
    instances = _tags(raw)
    mended = []
    for volume in raw.describe_volumes()["Volumes"]:
        attached = volume["Attachments"][0]["InstanceId"] if volume["Attachments"] else ""
        tags = instances.get(attached, {})
        if tags and not volume.get("Tags") and all(tags.get(key) in values for key, values in wanted.items()):
            volume["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
            volume["Size"] = int(tags["gpu-box:disk-gib"])
            mended.append(volume)
    if not mended:
        return False
    answer["Volumes"] = mended
    return True


def _keys(asked: dict[str, Any], answer: Answer, raw: Any) -> bool:
    untagged = [one for one in answer.get("KeyPairs", []) if not one.get("Tags")]
    for key in untagged:
        for tags in _tags(raw).values():
            key["Tags"] = [{"Key": name, "Value": value} for name, value in tags.items()]
    return bool(untagged)


def _instances(answer: Answer) -> list[dict[str, Any]]:
    return [one for reservation in answer.get("Reservations", []) for one in reservation["Instances"]]


def _address(asked: dict[str, Any], answer: Answer, _: Any) -> bool:
    kept = [i for i in _instances(answer) if i["State"]["Name"] == "stopped" and i.get("PublicIpAddress")]
    for instance in kept:
        del instance["PublicIpAddress"]
    return bool(kept)


def _reason(asked: dict[str, Any], answer: Answer, _: Any) -> bool:
    silent = [
        i
        for i in _instances(answer)
        if i["State"]["Name"] == "stopped" and not i.get("StateTransitionReason")
    ]
    at = datetime.now(UTC)
    for instance in silent:
        code = "Client.UserInitiatedShutdown"
        instance["StateTransitionReason"] = f"User initiated ({at:%Y-%m-%d %H:%M:%S} GMT)"
        instance["StateReason"] = {"Code": code, "Message": f"{code}: User initiated shutdown"}
    return bool(silent)


EXCUSES = (
    Excuse("ec2.DescribeInstanceTypeOfferings", "it does not know the call", _offerings),
    Excuse("ec2.DescribeVolumes", "a launch gives its volume neither the tags nor the size", _volumes),
    Excuse("ec2.DescribeKeyPairs", "an imported key has no tags", _keys),
    Excuse("ec2.DescribeInstances", "a stopped instance keeps its public address", _address),
    Excuse("ec2.DescribeInstances", "a stopped instance does not say what stopped it", _reason),
)
