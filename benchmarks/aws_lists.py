"""`ls` by number of instances and `sweep` by number of regions, at 100 ms per call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from testbed.inside import Inside

from local_aws.credentials import account
from local_aws.faults import weather
from local_aws.files import Files

from . import peers
from .measure import Times, command, in_turns, rounds
from .row import Row, Wait
from .slow_cloud import Call, SlowCloud, depth, slow_cloud

COUNTS = (1, 100, 1000)
LATENCY_S = 0.1
FLAT = 3.0  # of 20 times the calls: this computer makes and answers all of them
# 17 is all that an account has that opted in to none; three more, which it then did.
REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-1", "eu-west-2",
    "eu-west-3", "eu-central-1", "eu-north-1", "ap-south-1", "ap-northeast-1", "ap-northeast-2",
    "ap-northeast-3", "ap-southeast-1", "ap-southeast-2", "eu-south-1", "af-south-1", "me-south-1",
)  # fmt: skip


def rows() -> Iterator[Row]:
    with _account() as (slow, ec2, run):
        slow.latency_s = LATENCY_S
        _boxes(ec2, 1)
        yield _sweeps(slow, run)
        few = None
        for count in COUNTS:
            _boxes(ec2, count)
            took, calls = _measured(slow, partial(run, "ls"))
            few, pages = few or took, sum(call.operation == "DescribeInstances" for call in calls)
            yield Row(
                wait=Wait.LISTS, what=f"`ls`, {count} instance{'s' * (count > 1)}",
                ours=f"{took}, {pages} page{'s' * (pages > 1)}",
                beside="" if took is few else f"1 instance {few}",
                ratio=None if took is few else took.median / few.median,
                aim="1 page for each 1,000", met=pages == 1, runs=took.runs,
            )  # fmt: skip


def _sweeps(slow: SlowCloud, run: Callable[[str], float]) -> Row:
    times, deep = {}, {}
    for count in (1, len(REGIONS)):
        _weather(regions=list(REGIONS[:count]))
        times[count], calls = _measured(slow, partial(run, "sweep"))
        deep[count] = depth(calls)
    one, many = times[1], times[len(REGIONS)]
    return Row(
        wait=Wait.LISTS, what=f"`sweep`, {len(REGIONS)} regions", ours=f"{many}, {deep[len(REGIONS)]} deep",
        beside=f"1 region {one}, {deep[1]} deep", ratio=many.median / one.median, aim="flat: below 3",
        runs=many.runs, met=many.median / one.median < FLAT,
    )  # fmt: skip


def _measured(slow: SlowCloud, run: Callable[[], float]) -> tuple[Times, list[Call]]:
    """Run once to record the answers, which later runs repeat. Returns the times and one run's calls."""
    slow.forget()
    run()
    slow.calls.clear()
    run()
    calls = list(slow.calls)
    return in_turns({"ours": run}, rounds(7))["ours"], calls


@contextmanager
def _account() -> Iterator[tuple[SlowCloud, Any, Any]]:
    """An account behind the proxy, whose instances have no machines."""
    ours = str(peers.gpu_box())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        inside = Inside(folder / "cloud", lambda: None)
        stack.callback(inside.close)
        slow = stack.enter_context(slow_cloud(inside.exports["AWS_ENDPOINT_URL"]))
        (folder / "config.yaml").write_text("region: us-east-1\nssh: {config: false}\n")
        environment = {
            **os.environ,
            **inside.exports,
            "AWS_ENDPOINT_URL": slow.endpoint,
            "GPU_BOX_HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        _weather(quotas={"L-1216C47A": 10_000}, delays={"pending": 0.0})

        owner = account(Files(folder / "cloud")).owner
        ec2 = boto3.client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=inside.exports["AWS_ENDPOINT_URL"],
            aws_access_key_id=owner.key_id,
            aws_secret_access_key=owner.secret,
        )

        def run(*words: str) -> float:
            return command([ours, *words], cwd=folder, env=environment)

        run("ls")  # what is cached is
        slow.repeats = True
        yield slow, ec2, run


def _weather(**wanted: Any) -> None:
    weather().change(wanted)


def _boxes(ec2: Any, count: int) -> None:
    """Launch instances up to this number, one per box."""
    found = ec2.describe_instances()["Reservations"]
    there = sum(len(reservation["Instances"]) for reservation in found)
    image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]
    for number in range(there, count):
        tags = [{"Key": "gpu-box:name", "Value": f"box-{number}"}, {"Key": "gpu-box:owner", "Value": "me"}]
        ec2.run_instances(
            ImageId=image["ImageId"],
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
