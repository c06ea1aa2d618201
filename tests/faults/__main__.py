"""`make walk`: every command struck by faults at its AWS calls; with a service down; and two at once.

    python -m tests.faults [--each N | --every] [--only PART ...] [--command NAME] [--workers N]
                           [--write FILE]

A fault that would repeat what another one shows is left out (scenarios.py).

--every: leave out none.
--each: N scenarios a command, and N interleavings a pair, instead of all.
--only: these parts; FILE keeps what it says of the others.
--command: only the calls of this one, as after a mend; a section of its own, until the next whole walk.
--workers: processes, each with a cloud of its own, which waits more than it works.

Ctrl-C ends it, and it tells of what it did until then.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from ..races.pairs import PAIRS
from . import scenarios, worker
from .commands import COMMANDS
from .faults import FAULTS, Called, Place
from .outages import DONE, IN_PART, KINDS, NO_CALL, OUTAGES, REFUSED
from .page import AGAIN, written
from .stage import Outcome
from .watch import Seconds

HANDS = 50  # interleavings of each pair
_AT_ONCE = 10  # scenarios that a worker takes
T = TypeVar("T")
R = TypeVar("R")
Scenario = tuple[str, Place, str]


@dataclass
class Tally:
    """What one part of the walk found."""

    defects: list[str] = field(default_factory=list)
    seconds: Seconds = field(default_factory=Seconds)
    began: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome, what: str) -> None:
        self.seconds += outcome.seconds
        for defect in outcome.defects:
            self.defects.append(f"{what}: {defect}")
            print(self.defects[-1], file=sys.stderr, flush=True)

    def summary(self, what: str, each: int | None) -> str:
        """each: of a sample, how many."""
        counts = {kind: sum(f": {kind}" in defect for defect in self.defects) for kind in ("leak", "double")}
        others = sum(not any(f": {kind}" in d for kind in (*counts, "unguarded")) for d in self.defects)
        spent = (time.monotonic() - self.began) / 60
        sample = f"; a sample, {each} each" if each else ""
        return (
            f"{what}: {counts['leak']} leaks, {counts['double']} doubles, "
            f"{self.seconds.unguarded:.1f} unguarded seconds, {others} other defects "
            f"({spent:.0f} min, {date.today().isoformat()}{sample})"
        )

    def ran(self) -> str:
        return (
            f"Boxes ran for {self.seconds.ran:,.0f} s in all of it, {self.seconds.fuse_alone:,.0f} s of that "
            "with the fuse on the box alone, between a launch and its deadline or where the fault was that "
            "no deadline may be made; the rest with AWS's deadline too."
        )

    def list(self) -> list[str]:
        return [f"- {defect}" for defect in self.defects]


Part = Callable[[ProcessPoolExecutor, int | None], tuple[list[str], Tally]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make walk")
    parser.add_argument("--each", type=int)
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--command", choices=COMMANDS)
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 1) * 3)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    struck = scenarios.every if asked.every else scenarios.distinct
    parts: dict[str, Part] = {**PARTS, "calls": partial(each_call, struck=struck)}
    parts = {name: parts[name] for name in asked.only}
    if asked.command:
        parts = {AGAIN: partial(each_call, struck=struck, commands=[asked.command])}
    found = 0
    with tempfile.TemporaryDirectory(prefix="gb-walk-") as folder:
        for name, part in parts.items():
            # A worker may end in the middle of a scenario: its folder, and what ran in it, goes with it.
            with ProcessPoolExecutor(asked.workers, get_context("spawn"), worker.begin, (folder,)) as pool:
                lines, tally = part(pool, asked.each)
            found += len(tally.defects)
            print("\n".join(lines), flush=True)
            if asked.write:
                asked.write.write_text(written(asked.write, name, lines))
    return 1 if found else 0


def each_call(
    pool: ProcessPoolExecutor,
    each: int | None,
    struck: Callable[[Sequence[Called]], list[tuple[Place, str]]] = scenarios.distinct,
    commands: Sequence[str] = tuple(COMMANDS),
) -> tuple[list[str], Tally]:
    tally = Tally()
    made = dict(zip(commands, pool.map(worker.calls_of, commands), strict=True))
    wanted: list[Scenario] = []
    for name, its_calls in made.items():
        its = [(name, place, fault) for place, fault in struck(its_calls)]
        # The same for everybody.
        wanted += random.Random(name).sample(its, min(each, len(its))) if each else its
    print(f"{len(wanted)} scenarios", file=sys.stderr, flush=True)
    done = {name: 0 for name in commands}
    missed = {name: 0 for name in commands}
    for (name, place, fault), outcome in _progress(_spread(pool, worker.run, wanted), len(wanted)):
        done[name] += outcome.reached
        missed[name] += not outcome.reached
        tally.add(outcome, f"{name}, {fault} at {place[0]} {place[1]}")
    calls, reached = sum(map(len, made.values())), sum(done.values())
    head = tally.summary(
        f"{len(commands)} command{'s' * (len(commands) > 1)}, {calls} calls, {len(FAULTS)} faults, "
        f"{reached} scenarios",
        each,
    )
    rows = [_row(name, len(made[name]), done[name], missed[name]) for name in commands]
    table = ["| command | AWS calls | scenarios | not reached |", "|---|---|---|---|", *rows]
    left = len(wanted) - reached - sum(missed.values())
    cut = [f"Cut short: {left} more scenarios were to come.", ""] if left else []
    return [head, "", *cut, tally.ran(), "", *table, "", *tally.list()], tally


def two_hands(pool: ProcessPoolExecutor, each: int | None) -> tuple[list[str], Tally]:
    tally, many = Tally(), each or HANDS
    every = [(name, seed) for name in PAIRS for seed in range(many)]
    done = {name: 0 for name in PAIRS}
    refused = {name: 0 for name in PAIRS}
    for (name, seed), one in _progress(_spread(pool, worker.interleave, every), len(every)):
        done[name] += 1
        refused[name] += one.refused
        tally.add(one.outcome, f"{name}, seed {seed} ({one.how})")
    head = tally.summary(f"{len(PAIRS)} pairs, {sum(done.values())} interleavings", each)
    rows = [_row(name, done[name], refused[name]) for name in PAIRS]
    table = ["| commands | interleavings | of them with one that was refused |", "|---|---|---|", *rows]
    return [head, "", tally.ran(), "", *table, "", *tally.list()], tally


def services_down(pool: ProcessPoolExecutor, each: int | None) -> tuple[list[str], Tally]:
    tally = Tally()
    every: list[tuple[str, str, str]] = []
    for name in COMMANDS:
        its = [(name, outage, kind) for outage in OUTAGES for kind in KINDS]
        every += random.Random(name).sample(its, min(each, len(its))) if each else its
    how: dict[tuple[str, str, str], str] = {}
    for scenario, one in _progress(_spread(pool, worker.outage, every), len(every)):
        how[scenario] = one.how
        name, outage, kind = scenario
        tally.add(one.outcome, f"{name}, {outage} {kind}")
    head = tally.summary(
        f"{len(COMMANDS)} commands, {len(OUTAGES)} outages, {len(KINDS)} kinds, {len(how)} scenarios", each
    )
    rows = [
        _row(name, *(" / ".join(_WORDS[how.get((name, o, k), "")] for k in KINDS) for o in OUTAGES))
        for name in COMMANDS
    ]
    table = [_row("command", *OUTAGES), "|---" * (len(OUTAGES) + 1) + "|", *rows]
    return [head, "", tally.ran(), "", *table, "", *tally.list()], tally


_WORDS = {DONE: "done", IN_PART: "part", REFUSED: "refused", NO_CALL: "-", "": "not run"}
PARTS: dict[str, Part] = {
    "calls": each_call,
    "services": services_down,
    "hands": two_hands,
}


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _spread(
    pool: ProcessPoolExecutor, do: Callable[[list[T]], list[R]], every: list[T]
) -> Iterator[tuple[T, R]]:
    """As they end. After Ctrl-C, no more than that."""
    parts = [every[n : n + _AT_ONCE] for n in range(0, len(every), _AT_ONCE)]
    random.Random(0).shuffle(parts)  # so that what a walk that is cut short has seen is of every command
    futures: dict[Future[list[R]], list[T]] = {pool.submit(do, some): some for some in parts}
    try:
        for future in as_completed(futures):
            yield from zip(futures[future], future.result(), strict=True)
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)


def _progress(ended: Iterable[T], count: int) -> Iterator[T]:
    began = time.monotonic()
    for number, one in enumerate(ended, 1):
        yield one
        if not number % 100:
            spent = (time.monotonic() - began) / 60
            to_go = spent / number * (count - number)
            print(f"{number} of {count}, {spent:.0f} min, {to_go:.0f} to go", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
