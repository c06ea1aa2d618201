"""Security groups of tests."""

from __future__ import annotations

from testbed.cloud import Cloud


def make_group(cloud: Cloud, name: str = "box") -> str:
    return str(cloud.ec2.create_security_group(GroupName=name, Description=name)["GroupId"])
