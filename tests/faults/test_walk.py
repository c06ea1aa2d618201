"""Kill it anywhere: each command struck at each of its AWS calls by each fault, then run again.

A sample of the scenarios in `make test`; all of them by `make walk`, which writes docs/reliability.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import pytest

from ..aws.compressed import compressed
from . import outages
from .apart import impatient
from .commands import COMMANDS
from .faults import FAULTS, Place
from .outages import DENIED, DONE, IN_PART, ITS_REGION, REFUSED, SILENT
from .sent import unchecked
from .stage import Stage

FASTER = 20  # than AWS, where AWS's delays are real ones
KILLS = [name for name, fault in FAULTS.items() if fault.kills]
OTHERS = [name for name, fault in FAULTS.items() if not fault.kills]


@pytest.mark.parametrize(("nth", "command"), list(enumerate(COMMANDS)))
def test_a_fault_at_any_call_leaves_what_the_next_run_mends(nth: int, command: str, stage: Stage) -> None:
    """One scenario a command; that of every other one is a process that is killed."""
    chance = random.Random(command)  # the same for everybody, and other ones for each command
    undisturbed = stage.undisturbed_run(command)
    assert unchecked(undisturbed.sent) == set(), "the embedded cloud takes whatever gpu-box sends there"
    fault = chance.choice(OTHERS if nth % 2 else KILLS)
    at = chance.choice(undisturbed.calls).place
    outcome = stage.run(command, at, fault)
    assert outcome.defects == (), f"{fault} at {at[0]} {at[1]}"
    assert outcome.seconds.unguarded == 0


@pytest.mark.parametrize(
    ("command", "at", "fault"),
    [
        ("up from nothing", ("RunInstances", 1), "killed after"),
        ("up from nothing", ("RunInstances", 1), "answer lost for good"),
        ("up from nothing", ("PutRolePolicy", 1), "killed before"),
        ("extend", ("CreateTags", 2), "killed after"),  # the last one, without an answer
        ("extend", ("CreateTags", 2), "answer lost for good"),
        ("down", ("TerminateInstances", 1), "killed after"),
        ("resize of spot", ("CreateSchedule", 1), "500"),  # it stops the new instance; the old one ran
    ],
)
def test_the_calls_that_cost_most(command: str, at: Place, fault: str, stage: Stage) -> None:
    outcome = stage.run(command, at, fault)
    assert outcome.reached and outcome.defects == ()


@pytest.mark.parametrize(
    ("command", "outage", "kind", "how"),
    [
        ("up from nothing", "Scheduler", SILENT, REFUSED),
        ("up from nothing", "Scheduler", DENIED, REFUSED),
        ("up from stopped", "Scheduler", SILENT, REFUSED),
        ("up from stopped", "pricing", SILENT, DONE),
        ("stop", "IAM", SILENT, DONE),
        ("down", "Scheduler", SILENT, IN_PART),
        ("stop", ITS_REGION, SILENT, REFUSED),
    ],
)
def test_with_a_service_down_stop_and_down_work_and_nothing_runs_unguarded(
    command: str, outage: str, kind: str, how: str, stage: Stage
) -> None:
    served = outages.run(stage, command, outage, kind)
    assert (served.how, served.outcome.defects) == (how, ())
    assert served.outcome.seconds.unguarded == 0


@pytest.fixture
def real(stage: Stage) -> Iterator[Stage]:
    """As late as AWS is, with gpu-box's clock as many times as fast."""
    stage.timing, stage.waits = {"timing": "real", "faster": FASTER}, partial(compressed, FASTER)
    yield stage
    stage.timing, stage.waits = {}, impatient


@pytest.mark.parametrize(
    ("command", "at", "fault"),
    [
        ("up from nothing", ("RunInstances", 1), "answer lost for good"),
        ("stop", ("StopInstances", 1), "answer lost"),
    ],
)
def test_the_next_run_mends_with_aws_as_late_as_it_is(
    command: str, at: Place, fault: str, real: Stage
) -> None:
    outcome = real.run(command, at, fault)
    assert outcome.reached and outcome.defects == ()
    assert outcome.seconds.unguarded == 0
