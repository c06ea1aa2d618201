"""`status` and `up`: AWS calls in total and in sequence, and the time.

Measured against the embedded cloud behind a proxy that delays every call. "Waiting" calls poll whether an
instance runs; their number depends on the instance.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from testbed.cloud import QUICK, Cloud
from testbed.leash import leashed

from . import peers
from .measure import command, in_turns, rounds, seconds
from .row import Row, Wait
from .slow_cloud import Call, SlowCloud, depth, slow_cloud

LATENCIES_S = (0.0, 0.05, 0.15)
CONFIG = """\
name: bench
region: us-east-1
ssh:
  key: ./key
  config: false
sync:
  exclude: [cache]
"""
# Counts the commands run on the machine: the last word of the output.
COUNTED = """
import sys
from gpu_box.cli.main import main
from gpu_box.machine.ssh import connection
count, run = 0, connection.Connection.run
def counted(*args, **more):
    global count
    count += 1
    return run(*args, **more)
connection.Connection.run = counted
status = main(["up"])
print(count)
sys.exit(status)
"""


@dataclass
class Desk:
    """A laptop with one box, far from AWS."""

    gpu_box: Path
    folder: Path
    slow: SlowCloud
    environment: dict[str, str]

    def run(self, *words: str) -> float:
        """Seconds of `gpu-box ...`."""
        return command([str(self.gpu_box), *words], cwd=self.folder, env=self.environment)

    def calls_of(self, *words: str) -> list[Call]:
        self.slow.forget()
        self.run(*words)
        return list(self.slow.calls)


def rows() -> Iterator[Row]:
    with _desk() as desk:
        yield from _from_nothing(desk)
        yield from _from_stopped(desk)
        yield from _again_and_status(desk)


def _from_nothing(desk: Desk) -> Iterator[Row]:
    wait, what = Wait.UP_FROM_NOTHING, "RunInstances"
    took: dict[float, float] = {}
    for latency_s in LATENCIES_S:
        desk.slow.latency_s = 0
        desk.run("down", "--yes")
        desk.run("plan")  # as one does before; it leaves the prices
        desk.slow.latency_s = latency_s
        calls = desk.calls_of("up")
        before, waiting = _until(calls, what), _waiting(calls, what)
        took[latency_s] = before[-1].ended - before[0].began
        beside = "SkyPilot 0.14.1: 32 and two sleeps of 15 s" if latency_s == 0 else ""
        yield Row(
            wait=wait, what=f"calls, {_ms(latency_s)}", ours=f"{len(calls) - waiting}, {waiting} of waiting",
            beside=beside, aim="14", met=len(calls) - waiting <= 14,
        )  # fmt: skip
        yield from _depth(wait, what, before, latency_s, 5)
    yield _slope(wait, what, took)
    desk.slow.latency_s = 0
    desk.run("down", "--yes")
    (desk.folder / "cache").rename(desk.folder / "no-cache")
    calls = desk.calls_of("up")
    yield Row(
        wait=wait, what="calls with nothing cached", ours=f"{len(calls) - _waiting(calls, what)}, "
        f"{sum(call.operation == 'GetProducts' for call in calls)} of them for prices",
    )  # fmt: skip


def _from_stopped(desk: Desk) -> Iterator[Row]:
    wait, what = Wait.UP_FROM_STOPPED, "StartInstances"
    took: dict[float, float] = {}
    for latency_s in LATENCIES_S:
        desk.slow.latency_s = 0
        desk.run("extend", "1h")  # so that the deadline has to be moved, as after a night
        desk.run("stop")
        desk.slow.latency_s = latency_s
        before = _until(desk.calls_of("up"), what)
        took[latency_s] = before[-1].ended - before[0].began
        beside = "SkyPilot 0.14.1: 14" if latency_s == 0 else ""
        yield Row(
            wait=wait, what=f"calls before the wait, {_ms(latency_s)}", ours=str(len(before)), beside=beside,
            aim="5", met=len(before) <= 5,  # one grants the role's permission again, beside the others
        )  # fmt: skip
        yield from _depth(wait, what, before, latency_s, 3)
    yield _slope(wait, what, took)


def _again_and_status(desk: Desk) -> Iterator[Row]:
    # Longer than it takes to make all requests: else one that does not wait for an answer seems to.
    desk.slow.latency_s = 0.5
    desk.run("up")  # the reminder of stopped boxes is read once a day
    calls = desk.calls_of("up")
    yield Row(
        wait=Wait.UP_AGAIN, what="calls", ours=str(len(calls)), beside="SkyPilot 0.14.1: 13", aim="6",
        met=len(calls) <= 6,
    )  # fmt: skip
    yield Row(wait=Wait.UP_AGAIN, what="deep", ours=str(depth(calls)), aim="1", met=depth(calls) == 1)
    counted = subprocess.run(
        [desk.gpu_box.with_name("python"), "-c", COUNTED],
        cwd=desk.folder,
        env=desk.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    trips = int(counted.stdout.split()[-1])
    yield Row(wait=Wait.UP_AGAIN, what="SSH round trips", ours=str(trips), aim="1", met=trips == 1)
    calls = desk.calls_of("status")
    yield Row(
        wait=Wait.STATUS, what="calls, and how deep", ours=f"{len(calls)}, {depth(calls)} deep", aim="1 deep",
        met=depth(calls) == 1,
    )  # fmt: skip
    desk.slow.latency_s = 0.1
    aws = str(peers.program("awscli", "aws"))
    theirs = [aws, "ec2", "describe-instances", "--filters", "Name=tag:gpu-box:name,Values=bench"]
    run_aws = partial(command, theirs, cwd=desk.folder, env=desk.environment)
    named = "`aws ec2 describe-instances`"
    for what, running in (
        ("of one that runs, its machine asked too", True),
        ("of one that is stopped", False),
    ):
        if not running:
            desk.slow.repeats = False
            desk.run("stop")
        # All of these only read; the cloud's own time for the answers is excluded.
        desk.slow.forget()
        desk.slow.repeats = True
        times = in_turns(
            {"up": partial(desk.run, "up"), "status": partial(desk.run, "status"), named: run_aws}
            if running
            else {"status": partial(desk.run, "status"), named: run_aws},
            rounds(15),
        )
        ratio = times["status"].against(times[named])
        yield Row(
            wait=Wait.STATUS, what=f"{what}, 100 ms", ours=str(times["status"]),
            beside=f"{named} {times[named]}", ratio=ratio, aim="below 1",
            met=ratio < 1, runs=times["status"].runs,
        )  # fmt: skip
        if running:
            ratio = times["up"].against(times["status"])
            yield Row(
                wait=Wait.UP_AGAIN, what="all of it, 100 ms", ours=str(times["up"]),
                beside=f"`gpu-box status` {times['status']}", ratio=ratio, aim="below 2", met=ratio < 2,
                runs=times["up"].runs,
            )  # fmt: skip


@contextmanager
def _desk() -> Iterator[Desk]:
    home = Path(tempfile.mkdtemp(prefix="gb-bench-", dir="/tmp"))
    with ExitStack() as stack:
        stack.enter_context(leashed(home))
        cloud = Cloud(home)
        cloud.weather(delays=QUICK)
        slow = stack.enter_context(slow_cloud(cloud.endpoint))
        (home / "desk").mkdir()
        (home / "desk" / "config.yaml").write_text(CONFIG)
        environment = {
            **os.environ,
            **cloud.exports,
            "AWS_ENDPOINT_URL": slow.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "GPU_BOX_HOME": str(home),
            "XDG_CACHE_HOME": str(home / "desk" / "cache"),
            "PYTHONDONTWRITEBYTECODE": "",  # compiled, as pip leaves it
        }
        yield Desk(peers.gpu_box(), home / "desk", slow, environment)


def _depth(wait: Wait, what: str, before: Sequence[Call], latency_s: float, aim: int) -> Iterator[Row]:
    """The longest chain of calls. Needs latency, or calls are answered before the next is sent."""
    if latency_s == LATENCIES_S[-1]:
        deep = depth(before)
        yield Row(
            wait=wait, what=f"deep before {what}' answer, {_ms(latency_s)}", ours=str(deep), aim=str(aim),
            met=deep <= aim,
        )  # fmt: skip


def _until(calls: Sequence[Call], operation: str) -> list[Call]:
    """The calls started before this operation's answer, in order; it is the last."""
    [end] = [call.ended for call in calls if call.operation == operation]
    return sorted((call for call in calls if call.began < end), key=lambda call: call.ended)


def _waiting(calls: Sequence[Call], operation: str) -> int:
    [end] = [call.ended for call in calls if call.operation == operation]
    return sum(call.operation == "DescribeInstances" and call.began > end for call in calls)


def _slope(wait: Wait, operation: str, took: dict[float, float]) -> Row:
    least, most = min(took), max(took)
    slope = (took[most] - took[least]) / (most - least)
    times = ", ".join(f"{seconds(value)} at {_ms(latency)}" for latency, value in took.items())
    return Row(
        wait=wait,
        what=f"round trips by the clock until {operation}' answer",
        ours=f"{slope:.1f}",
        beside=times,
    )


def _ms(latency_s: float) -> str:
    return f"{1000 * latency_s:.0f} ms"
