"""50 commands at once in an account of 100 people with 1,000 boxes in 5 regions.

A simulation on the embedded cloud in this process: EC2 has AWS's documented request rates
(local_aws.ec2.request_rates) and times (local_aws.timing, "real"), and every request takes a round trip. Its
clock leaves out what this computer computes. Each command is its AWS part, without machine and SSH, on a
laptop that knows the prices.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest import mock

import boto3
from botocore.exceptions import ClientError
from testbed.inside import Inside

from gpu_box.aws import throttled
from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe
from gpu_box.box.ls import list_boxes
from gpu_box.box.status import status
from gpu_box.box.stop import bring_down, halt
from gpu_box.box.up import bring_up
from gpu_box.config.model import Config, Network, Ssh
from gpu_box.errors import GpuBoxError
from gpu_box.machine.ssh import keys
from gpu_box.model.observed import InstanceState, Observed
from gpu_box.view.progress import Silent
from local_aws import timing
from local_aws.credentials import account
from local_aws.faults import weather
from local_aws.files import Files

from . import measure
from .measure import seconds
from .row import Row, Wait
from .simulated_time import Clock, simulated_time

PEOPLE, BOXES, AT_ONCE = 100, 1000, 50
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1")
ROUND_TRIP_S = 0.1
# Boxes are of many sizes; the smallest makes the account's vCPUs suffice.
_TYPE = "g4dn.xlarge"
_HERE = Network(allow_ssh_from=(ip_network("127.0.0.1/32"),))
_LATER_S = 600.0
_BEGINNINGS_S = itertools.count(3600.0, 3600.0)  # far enough apart for all buckets to be full again
_sleep = time.sleep


@dataclass
class Person:
    """A laptop with one box, and a count of its requests."""

    config: Config
    inside: Inside
    sent: list[str] = field(default_factory=list)  # operations, retries included
    refused: int = 0  # for the rate

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.config)
        self.key = keys.ensure_key_pair(self.config.ssh.key).line
        # Before the first client is made: clients copy the session's events.
        self.cloud._clients.session.events.register_first("before-send.*.*", self._send)
        self.cloud.make_clients("ec2", "iam", "scheduler", "ssm", "pricing", "service-quotas")

    def _send(self, request: Any, event_name: str, **_: Any) -> Any:
        self.sent.append(event_name.rsplit(".", 1)[1])
        if weather().request_rates:
            time.sleep(ROUND_TRIP_S)
        answer = self.inside.answer(request)
        self.refused += answer.status_code == 503
        return answer

    def up(self) -> Observed:
        return bring_up(self.cloud, self.key, Silent())[1]

    def stop(self) -> Observed:
        return halt(self.cloud, Silent())

    def down(self) -> Observed:
        return bring_down(self.cloud, Silent())

    def seen(self) -> Observed:
        return observe(self.cloud, need="plan")


@dataclass(frozen=True)
class Command:
    run: Callable[[Person], object]
    right: Callable[[Person, Any], bool]  # of the person and what `run` returned
    prepare: Callable[[Person], object] = lambda person: None


def _runs(person: Person, seen: Observed) -> bool:
    instance, armed = seen.instance, seen.deadline
    return bool(
        len(seen.live) == 1
        and instance
        and instance.state is InstanceState.RUNNING
        and armed
        and armed.instance_id == instance.id
        and seen.group
        and seen.key_pair
    )


def _stopped_box(person: Person) -> None:
    person.up()
    person.stop()


COMMANDS = {
    "up from nothing": Command(Person.up, lambda person, _: _runs(person, person.seen())),
    "up from stopped": Command(Person.up, lambda person, _: _runs(person, person.seen()), _stopped_box),
    "stop": Command(
        Person.stop,
        lambda person, seen: [one.state for one in seen.live] == [InstanceState.STOPPED],
        Person.up,
    ),
    "down": Command(Person.down, lambda person, _: person.seen().nothing_left, Person.up),
    "status": Command(
        lambda person: status(person.cloud), lambda person, view: view.state == "stopped", _stopped_box
    ),
    "ls": Command(
        lambda person: list_boxes(person.cloud), lambda person, rows: len(rows) >= _boxes() // len(REGIONS)
    ),
}  # fmt: skip
MIXED = ("up from nothing", "up from stopped", "stop", "down", "status", "ls")


def rows() -> Iterator[Row]:
    with _account() as (inside, person):
        place = f"{_boxes():,} boxes in {len(REGIONS)} regions"
        mixed = [(MIXED[n % len(MIXED)], REGIONS[n % len(REGIONS)]) for n in range(_at_once())]
        yield _row(
            f"{_at_once()} commands of {len(MIXED)} kinds in all regions, {place}", inside, person, mixed
        )
        for name in ("status", "up from stopped", "up from nothing"):
            one = [(name, REGIONS[0])] * _at_once()
            yield _row(f"{_at_once()} `{name}` in one region, {place}", inside, person, one)
        with mock.patch.object(throttled, "PATIENCE_S", -1.0):
            alone = _run(inside, person, [("up from nothing", REGIONS[0])] * _at_once())
            yield Row(
                wait=Wait.MANY,
                what="the same with the SDK's own six attempts",
                ours=f"{sum(one.why == '' for one in alone)} of {len(alone)} end right",
            )


def _row(
    what: str, inside: Inside, person: Callable[[str], Person], wanted: Sequence[tuple[str, str]]
) -> Row:
    ended = _run(inside, person, wanted)
    wrong = sorted({one.why for one in ended if one.why})
    times = [one.took_s for one in ended]
    calls = sum(one.calls for one in ended)
    return Row(
        wait=Wait.MANY,
        what=what,
        ours=f"{len(ended) - sum(bool(one.why) for one in ended)} of {len(ended)} end right, median "
        f"{seconds(median(times))}, 95 of 100 within {seconds(quantiles(times, n=20)[-1])}",
        beside=f"{calls} calls, {sum(one.refused for one in ended)} of them refused for the rate"
        + "".join(f"; {why}" for why in wrong),
        aim="all",
        met=not wrong,
    )


@dataclass(frozen=True)
class Ended:
    took_s: float  # simulated
    calls: int
    refused: int
    why: str  # "": as it should


def _run(inside: Inside, person: Callable[[str], Person], wanted: Sequence[tuple[str, str]]) -> list[Ended]:
    """Prepare, begin all at the same moment, and check each."""
    with mock.patch("time.sleep", lambda wanted: _sleep(min(wanted, 0.05))):
        people = [person(region) for _, region in wanted]
        for one, (name, _) in zip(people, wanted, strict=True):
            COMMANDS[name].prepare(one)
            one.sent.clear()
    ended: list[Ended] = []

    def begin(one: Person, command: Command, clock: Clock) -> None:
        began, why, result = time.monotonic(), "", None
        try:
            result = command.run(one)
        except GpuBoxError as error:
            why = str(error)
        end = Ended(time.monotonic() - began, len(one.sent), one.refused, why)
        clock.sleep(_LATER_S)  # until all have ended
        weather().change({"request_rates": False})
        ended.append(end if why or command.right(one, result) else replace(end, why="not the right end"))

    with _as_aws() as clock:
        clock.run(
            [
                partial(begin, one, COMMANDS[name], clock)
                for one, (name, _) in zip(people, wanted, strict=True)
            ]
        )
    assert len(ended) == len(wanted)
    return ended


@contextmanager
def _as_aws() -> Iterator[Clock]:
    """AWS's rates and times, on a clock of its own."""
    weather().change({"request_rates": True, "delays": timing.REAL})
    try:
        with simulated_time(next(_BEGINNINGS_S)) as clock:
            yield clock
    finally:
        _as_fast_as_possible()


def _as_fast_as_possible() -> None:
    weather().change({"request_rates": False, "delays": dict.fromkeys(timing.QUICK, 0.0)})


def _boxes() -> int:
    return 50 if measure.quick else BOXES


def _at_once() -> int:
    return 12 if measure.quick else AT_ONCE


@contextmanager
def _account() -> Iterator[tuple[Inside, Callable[[str], Person]]]:
    """An account with its boxes, and a maker of people who have none yet in a region."""
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ):
        folder = Path(home)
        inside = Inside(folder / "cloud", lambda: None)
        os.environ |= {
            **inside.exports,
            "GPU_BOX_HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        # The instances have no machines that could be late on the clock.
        inside.world.is_held = lambda instance_id, state: False
        _as_fast_as_possible()
        weather().change({"quotas": {"L-DB2E81BA": 10_000}})
        count = 0

        def person(region: str) -> Person:
            nonlocal count
            count += 1
            key = Ssh(key=folder / "key", config=False)
            return Person(
                Config(
                    name=f"mine-{count}", owner=f"person-{count % PEOPLE}", region=region,
                    instance_types=(_TYPE,), network=_HERE, ssh=key,
                ), inside,
            )  # fmt: skip

        owner = account(Files(folder / "cloud")).owner
        session = boto3.Session(owner.key_id, owner.secret)
        for region in REGIONS:
            _fill(session.client("ec2", region_name=region, endpoint_url=inside.exports["AWS_ENDPOINT_URL"]))
            one = person(region)
            one.up()  # makes the region's role, and caches the prices, as on any day but the first
        try:
            yield inside, person
        finally:
            inside.close()


def _fill(ec2: Any) -> None:
    """The colleagues' boxes of a region: most are stopped."""
    image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]
    launched = []
    for number in range(_boxes() // len(REGIONS)):
        tags = _tags({"gpu-box:name": f"box-{number}", "gpu-box:owner": f"person-{number % PEOPLE}"})
        group = ec2.create_security_group(GroupName=f"gpu-box-box-{number}", Description="SSH")["GroupId"]
        launched.append(
            ec2.run_instances(
                ImageId=image["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1,
                SecurityGroupIds=[group], TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            )["Instances"][0]["InstanceId"]
        )  # fmt: skip
    for nth in range(0, len(launched), 4):
        try:
            ec2.stop_instances(InstanceIds=launched[nth : nth + 3])
        except ClientError as error:
            raise RuntimeError(f"{launched[nth]}: {error}") from error


def _tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]
