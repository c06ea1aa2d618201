"""`make walk`: every command struck at each of its AWS calls by every fault; docs/reliability.md tells.

    python -m tests.walk [--each N] [--write FILE]

--each: N scenarios a command, the same for everybody, instead of all (which take an hour or so).
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from unittest import mock

from gpu_box.config import Config, Network, Ssh
from gpu_box.embedded import daemon

from ..aws.conftest import Laptop
from ..embedded.cloud import QUICK, Cloud
from . import scenario
from .faults import FAULTS
from .scenario import COMMANDS

PAGE = """\
# Killed anywhere, run again

Each command is run, struck at one of its AWS calls by one fault, and run again without it. Then there must be
the one right state; never more than one instance, security group, key pair, schedule, role or disk of a box;
at no moment an instance that runs without something armed that stops it; and after `down`, nothing.

The faults: {faults}. "Answer lost" means that the request took effect; "killed" is `kill -9`, before or after
it did.

`make walk` on {today}, against the embedded cloud:

"""
KINDS = ("leak", "double", "unguarded")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make walk")
    parser.add_argument("--each", type=int)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gb-walk-") as folder:
        home = Path(folder)
        cloud = Cloud(home / "cloud")
        os.environ.update(cloud.exports)
        cloud.weather(delays=QUICK)
        try:
            with mock.patch("botocore.endpoint.time.sleep"):
                lines, defects = walk(home, asked.each)
        finally:
            daemon.stop(home / "cloud")
    print("\n".join(lines))
    if asked.write:
        asked.write.write_text(page(lines))
    return 1 if defects else 0


def walk(home: Path, each: int | None) -> tuple[list[str], list[str]]:
    began, told, defects = time.monotonic(), [], []
    calls = scenarios = 0
    for name, command in COMMANDS.items():
        places = scenario.calls_of(boxes(home), command)
        every = [(place, fault) for place in places for fault in FAULTS]
        chosen = random.Random(name).sample(every, min(each, len(every))) if each else every
        reached = 0
        for (operation, number), fault in chosen:
            found = scenario.run(boxes(home), command, (operation, number), fault)
            if found == ["not reached"]:
                continue
            reached += 1
            defects += [f"{name}, {fault} at {operation} {number}: {defect}" for defect in found]
        told.append(f"| {name} | {len(places)} | {reached} |")
        calls, scenarios = calls + len(places), scenarios + reached
        print(f"{name}: {len(places)} calls, {reached} scenarios", file=sys.stderr, flush=True)
    counts = {kind: sum(f": {kind}" in defect for defect in defects) for kind in KINDS}
    others = len(defects) - sum(counts.values())
    summary = (
        f"{len(COMMANDS)} commands, {calls} calls, {len(FAULTS)} faults, {scenarios} scenarios: "
        f"{counts['leak']} leaks, {counts['double']} doubles, {counts['unguarded']} moments unguarded, "
        f"{others} other defects ({(time.monotonic() - began) / 60:.0f} min)"
    )
    return [summary, "", "| command | AWS calls | scenarios |", "|---|---|---|", *told, *defects], defects


def boxes(home: Path) -> Callable[[], Laptop]:
    config = Config(
        name=f"box-{secrets.token_hex(4)}",
        region="us-east-1",
        network=Network(allow_ssh_from=(ip_network("127.0.0.1/32"),)),
        ssh=Ssh(key=home / "key"),
    )
    return lambda: Laptop(config)


def page(lines: list[str]) -> str:
    head = PAGE.format(faults=", ".join(FAULTS), today=date.today().isoformat())
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
