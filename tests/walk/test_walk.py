"""Kill it anywhere: each command struck at each of its AWS calls by each fault, then run again.

A sample of the scenarios in `make test`; all of them by `make walk`, which writes docs/reliability.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ..aws.conftest import Laptop
from . import killed, scenario
from .faults import FAULTS, Place
from .scenario import COMMANDS

Boxes = Callable[[], Callable[[], Laptop]]
SAMPLE = 2  # scenarios a command


@pytest.mark.parametrize("command", COMMANDS)
def test_a_fault_at_any_call_leaves_what_the_next_run_mends(command: str, boxes: Boxes) -> None:
    places = scenario.calls_of(boxes(), COMMANDS[command])
    every = [(place, fault) for place in places for fault in FAULTS]
    # The same for everybody, and other ones for each command.
    chosen = random.Random(command).sample(every, SAMPLE)
    defects = {
        f"{fault} at {operation} {number}": found
        for (operation, number), fault in chosen
        if (found := scenario.run(boxes(), COMMANDS[command], (operation, number), fault))
    }
    assert {what: found for what, found in defects.items() if found != ["not reached"]} == {}


@pytest.mark.parametrize(
    ("command", "at", "fault"),
    [
        ("up from nothing", ("RunInstances", 1), "killed after"),
        ("up from nothing", ("PutRolePolicy", 1), "killed before"),
        ("down from running", ("TerminateInstances", 1), "killed after"),
    ],
)
def test_a_process_that_kill_9_ended_is_followed_by_one_that_mends(
    command: str, at: Place, fault: str, boxes: Boxes
) -> None:
    assert killed.run(boxes()().config, command, at, fault) == []
