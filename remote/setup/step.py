"""The types of a set-up step and its state."""

from dataclasses import dataclass
from typing import Callable, Tuple

from setup.desired import Desired
from setup.session import Session

DONE, NEEDED, UNAVAILABLE = "done", "needed", "unavailable"


@dataclass(frozen=True)
class State:
    """The result of a check. unavailable: not possible on this machine; it is shown and is no failure."""

    status: str
    line: str


@dataclass(frozen=True)
class Step:
    """check only reads, and quickly, because each `up` calls it. apply changes and returns the new state.

    apply raises `session.Failed` with a message for the user, or returns a state that is still needed if only
    a reboot helps. after: names of steps to wait for; despite: those of them that may fail.
    """

    name: str
    check: Callable[[Desired], State]
    apply: Callable[[Desired, Session], State]
    after: Callable[[Desired], Tuple[str, ...]] = lambda desired: ()
    despite: Tuple[str, ...] = ()


def done(line: str) -> State:
    return State(DONE, line)


NOT_ASKED_FOR = done("not asked for")


def needed(line: str) -> State:
    return State(NEEDED, line)


def unavailable(line: str) -> State:
    return State(UNAVAILABLE, line)
