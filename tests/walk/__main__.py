"""`make walk`: every command struck at every AWS call by every fault, and two at once; docs/reliability.md.

    python -m tests.walk [--each N] [--only PART ...] [--write FILE]

--each: N scenarios a command, and N interleavings, instead of all (which take two hours or so).
--only: these parts; FILE keeps what it says of the others.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from ipaddress import ip_network
from pathlib import Path

from gpu_box.config import Config, Network, Ssh
from gpu_box.embedded import daemon

from ..aws.conftest import Laptop
from ..embedded.cloud import QUICK, Cloud
from ..hands import pairs
from ..hands.pairs import PAIRS
from . import killed, scenario
from .apart import impatient
from .faults import FAULTS
from .killed import KILLS
from .page import section, written
from .scenario import COMMANDS

HANDS = 50  # interleavings of each pair
KINDS = ("leak", "double", "unguarded")


@dataclass
class Tally:
    """What one part of the walk found."""

    rows: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def row(self, *cells: object) -> None:
        self.rows.append("| " + " | ".join(map(str, cells)) + " |")
        print(self.rows[-1], file=sys.stderr, flush=True)

    def summary(self, what: str) -> str:
        counts = {kind: sum(f": {kind}" in defect for defect in self.defects) for kind in KINDS}
        others = len(self.defects) - sum(counts.values())
        return (
            f"{what}: {counts['leak']} leaks, {counts['double']} doubles, {counts['unguarded']} moments "
            f"unguarded, {others} other defects ({(time.monotonic() - self.began) / 60:.0f} min, "
            f"{date.today().isoformat()})"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make walk")
    parser.add_argument("--each", type=int)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    found = 0
    with tempfile.TemporaryDirectory(prefix="gb-walk-") as folder:
        home = Path(folder)
        cloud = Cloud(home / "cloud")
        os.environ.update(cloud.exports)
        cloud.weather(delays=QUICK)
        try:
            for name in asked.only:
                head, tally = PARTS[name](lambda: config(home), asked.each)
                found += len(tally.defects)
                lines = [head, *tally.rows, *(f"\n- {defect}" for defect in tally.defects)]
                print("\n".join(lines), flush=True)
                if asked.write:
                    asked.write.write_text(written(asked.write, section(name, lines)))
        finally:
            daemon.stop(home / "cloud")
    return 1 if found else 0


def config(home: Path) -> Config:
    return Config(
        name=f"box-{secrets.token_hex(4)}",
        region="us-east-1",
        network=Network(allow_ssh_from=(ip_network("127.0.0.1/32"),)),
        ssh=Ssh(key=home / "key"),
    )


def each_call(another: Callable[[], Config], each: int | None) -> tuple[str, Tally]:
    def run(config: Config, command: str, at: scenario.Place, fault: str) -> list[str]:
        return scenario.run(lambda: Laptop(config), COMMANDS[command], at, fault)

    return _each_call(another, each, tuple(FAULTS), run)


def each_kill(another: Callable[[], Config], each: int | None) -> tuple[str, Tally]:
    return _each_call(another, each, KILLS, killed.run)


def two_hands(another: Callable[[], Config], each: int | None) -> tuple[str, Tally]:
    tally, many = Tally(), each or HANDS
    for name, pair in PAIRS.items():
        lost = 0
        for seed in range(many):
            defects, how = pairs.run(another(), pair, seed)
            lost += "refused" in how
            tally.defects += [f"{name}, seed {seed} ({how}): {defect}" for defect in defects]
        tally.row(name, many, lost)
    head = tally.summary(f"{len(PAIRS)} pairs, {many * len(PAIRS)} interleavings")
    return f"{head}\n\n| commands | interleavings | of them with one that was refused |\n|---|---|---|", tally


PARTS = {"calls": each_call, "kills": each_kill, "hands": two_hands}


def _each_call(
    another: Callable[[], Config],
    each: int | None,
    faults: tuple[str, ...],
    run: Callable[[Config, str, scenario.Place, str], list[str]],
) -> tuple[str, Tally]:
    tally, calls, scenarios = Tally(), 0, 0
    for name, places in _places(another):
        every = [(place, fault) for place in places for fault in faults]
        # The same for everybody.
        chosen = random.Random(name).sample(every, min(each, len(every))) if each else every
        reached = 0
        for place, fault in chosen:
            with impatient():
                found = run(another(), name, place, fault)
            if found == ["not reached"]:
                continue
            reached += 1
            tally.defects += [f"{name}, {fault} at {place[0]} {place[1]}: {defect}" for defect in found]
        tally.row(name, len(places), reached)
        calls, scenarios = calls + len(places), scenarios + reached
    head = tally.summary(
        f"{len(COMMANDS)} commands, {calls} calls, {len(faults)} faults, {scenarios} scenarios"
    )
    return f"{head}\n\n| command | AWS calls | scenarios |\n|---|---|---|", tally


def _places(another: Callable[[], Config]) -> Iterator[tuple[str, list[scenario.Place]]]:
    for name, command in COMMANDS.items():
        config = another()
        with impatient():
            yield name, scenario.calls_of(lambda config=config: Laptop(config), command)


if __name__ == "__main__":
    sys.exit(main())
