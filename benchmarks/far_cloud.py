"""Waits over a real network: AWS 100 ms away, with TCP's and TLS's handshakes on every new connection."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from testbed.cloud import PORT_TAG, QUICK, Cloud
from testbed.leash import leashed

from . import peers
from .aws_calls import CONFIG, Desk
from .latency import link
from .measure import command, in_turns, rounds, seconds
from .row import Row, Wait
from .slow_cloud import slow_cloud
from .tls import far

ROUND_TRIP_MS = 100.0
LIST = "`aws ec2 describe-instances`"


def rows() -> Iterator[Row]:
    with _desks() as (near, away, cloud):
        yield _until_launched(near, away)
        near.run("up")  # sets the machine up
        yield from _status(away, cloud)
        yield from _completion(away)


def _until_launched(near: Desk, away: Desk) -> Row:
    """`up` from nothing: the time until RunInstances' answer is here, near AWS and far from it."""
    at_hand: list[float] = []
    at_length: list[float] = []
    for _ in range(rounds(5)):
        for desk, times in ((near, at_hand), (away, at_length)):
            near.run("down", "--yes")
            desk.run("plan")  # as one does before; it leaves the prices and how many connections it made
            desk.slow.forget()
            began = time.monotonic()
            with subprocess.Popen(
                [str(desk.gpu_box), "up"], cwd=desk.folder, env=desk.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ) as up:  # fmt: skip
                while not (launched := [c for c in desk.slow.calls if c.operation == "RunInstances"]):
                    assert up.poll() is None, "up ended without a launch"
                    time.sleep(0.01)
                up.terminate()
            times.append(launched[0].ended - began)
    fast, slow = median(at_hand), median(at_length) + ROUND_TRIP_MS / 2000  # the answer's way back
    trips = (slow - fast) / (ROUND_TRIP_MS / 1000)
    return Row(
        wait=Wait.FAR, what="`up` from nothing to RunInstances' answer, handshakes included",
        ours=f"{trips:.1f} round trips", beside=f"{seconds(fast)} near AWS, {seconds(slow)} far from it",
        aim="8", met=trips <= 8, runs=str(len(at_hand)),
    )  # fmt: skip


def _status(away: Desk, cloud: Cloud) -> Iterator[Row]:
    aws = str(peers.program("awscli", "aws"))
    words = [aws, "ec2", "describe-instances", "--filters", "Name=tag:gpu-box:name,Values=bench"]
    theirs = partial(command, words, cwd=away.folder, env=away.environment)
    status = partial(away.run, "status")

    def first_status() -> float:
        for connection in Path(away.environment["TMPDIR"]).glob("gpu-box-*/own-*"):
            connection.unlink()
        return status()

    with _far_machine(cloud):
        status()  # once, for what is cached
        assert _machine_answers(away)
        what = "`status` of one that runs, its machine asked too"
        yield _beside(f"{what} (asked in the last 10 minutes as well)", status, theirs)
        yield _beside(f"{what} (not asked before)", first_status, theirs)
    away.run("stop")
    assert not _machine_answers(away)
    yield _beside("`status` of one that is stopped", status, theirs)


def _machine_answers(desk: Desk) -> bool:
    words = [str(desk.gpu_box), "--json", "status"]
    done = subprocess.run(words, cwd=desk.folder, env=desk.environment, stdout=subprocess.PIPE, check=True)
    return bool(json.loads(done.stdout)["steps"])


def _beside(what: str, ours: Callable[[], float], theirs: Callable[[], float]) -> Row:
    times = in_turns({"ours": ours, LIST: theirs}, rounds(11))
    ratio = times["ours"].against(times[LIST])
    return Row(
        wait=Wait.FAR, what=what, ours=str(times["ours"]), beside=f"{LIST} {times[LIST]}", ratio=ratio,
        aim="0.8", met=ratio <= 0.8, runs=times["ours"].runs,
    )  # fmt: skip


def _completion(away: Desk) -> Iterator[Row]:
    typed = {"_GPU_BOX_COMPLETE": "complete_bash", "COMP_WORDS": "gpu-box --name be", "COMP_CWORD": "2"}
    press = partial(command, [str(away.gpu_box)], cwd=away.folder, env=away.environment | typed)
    away.slow.forget()
    first = press()
    calls = [call.operation for call in away.slow.calls]
    yield Row(
        wait=Wait.FAR, what="Tab after `--name`, the names not known",
        ours=f"{seconds(first)}, {len(calls)} call{'s' * (len(calls) > 1)}", aim="1 call",
        met=len(calls) == 1,
    )  # fmt: skip
    times = in_turns({"ours": press, "version": partial(away.run, "--version")}, rounds(15))
    ratio = times["ours"].against(times["version"])
    yield Row(
        wait=Wait.FAR, what="Tab after `--name`, the names known", ours=str(times["ours"]),
        beside=f"`gpu-box --version` {times['version']}", ratio=ratio, aim="1.5", met=ratio <= 1.5,
        runs=times["ours"].runs,
    )  # fmt: skip


@contextmanager
def _far_machine(cloud: Cloud) -> Iterator[None]:
    """The box's machine as far away as AWS."""
    instance = cloud.ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])[
        "Reservations"
    ][0]["Instances"][0]
    port = next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == PORT_TAG)

    def publish(number: str) -> None:
        cloud.ec2.create_tags(Resources=[instance["InstanceId"]], Tags=[{"Key": PORT_TAG, "Value": number}])

    address = instance["PublicIpAddress"]
    with link(int(port), ROUND_TRIP_MS, handshake=True, address=address) as line:
        publish(str(line.port))
        yield
        publish(port)


@contextmanager
def _desks() -> Iterator[tuple[Desk, Desk, Cloud]]:
    """One laptop, near AWS and far from it."""
    home = Path(tempfile.mkdtemp(prefix="gb-far-", dir="/tmp"))
    with ExitStack() as stack:
        stack.enter_context(leashed(home))
        cloud = Cloud(home)
        cloud.weather(delays=QUICK)
        slow = stack.enter_context(slow_cloud(cloud.endpoint))  # records the calls; no delay of its own
        port = urlsplit(slow.endpoint).port
        assert port
        (home / "desk").mkdir()
        (home / "tmp").mkdir()
        (home / "desk" / "config.yaml").write_text(CONFIG)
        gpu_box = peers.gpu_box()

        def desk(round_trip_ms: float) -> Desk:
            place = stack.enter_context(far(port, round_trip_ms, home / "tls"))
            environment = {
                **os.environ,
                **cloud.exports,
                "AWS_ENDPOINT_URL": place.endpoint,
                "AWS_CA_BUNDLE": str(place.authority),
                "GPU_BOX_CHECKIP_URL": f"{place.endpoint}/checkip",
                "AWS_EC2_METADATA_DISABLED": "true",
                "GPU_BOX_HOME": str(home),
                "TMPDIR": str(home / "tmp"),
                "XDG_CACHE_HOME": str(home / "desk" / "cache"),
                "PYTHONDONTWRITEBYTECODE": "",  # compiled, as pip leaves it
            }
            return Desk(gpu_box, home / "desk", slow, environment)

        yield desk(0.0), desk(ROUND_TRIP_MS), cloud
