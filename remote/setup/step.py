"""What a set-up step is."""

from dataclasses import dataclass
from typing import Callable, Tuple

from setup.desired import Desired
from setup.session import Session

DONE, NEEDED, UNAVAILABLE = "done", "needed", "unavailable"


@dataclass(frozen=True)
class State:
    """What a check found. unavailable: it cannot be had here, which is said and is no failure."""

    status: str
    line: str


@dataclass(frozen=True)
class Step:
    """check reads, quickly (it is part of each `up`); apply changes, and returns the line for the user.

    apply raises `session.Failed` with what to show when it cannot. after: names of steps to wait for.
    """

    name: str
    check: Callable[[Desired], State]
    apply: Callable[[Desired, Session], State]
    after: Callable[[Desired], Tuple[str, ...]] = lambda desired: ()


def done(line: str) -> State:
    return State(DONE, line)


NOT_ASKED_FOR = done("not asked for")


def needed(line: str) -> State:
    return State(NEEDED, line)


def unavailable(line: str) -> State:
    return State(UNAVAILABLE, line)
