"""A story on a real box and its expected result: a function that registers under its name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from .guaranteed import IDLE, LATE, Box


class Outcome(NamedTuple):
    layer: str
    seconds: float  # from the fault, or from the end of the work, until EC2 said `stopped`
    reason: str


@dataclass(frozen=True)
class Story:
    name: str
    stopped_by: str
    fuse: str
    max_hours: timedelta | None
    reached: bool
    play: Callable[[Box], Outcome]


class Untold(Exception):  # noqa: N818 - no error: this place lacks what the story needs
    """The reason why the story cannot run here."""


STORIES: dict[str, Story] = {}
Play = Callable[[Box], Outcome]


def story(
    *,
    stopped_by: str = "watcher",
    fuse: str = "1800s",
    max_hours: timedelta | None = None,
    reached: bool = True,
) -> Callable[[Play], Play]:
    """max_hours: armed in AWS by gpu-box itself; otherwise there is no deadline.

    reached: whether the story begins once the machine answers, or at its launch.
    """

    def enter(play: Play) -> Play:
        STORIES[play.__name__] = Story(play.__name__, stopped_by, fuse, max_hours, reached, play)
        return play

    return enter


def off(box: Box, within: float) -> Outcome:
    """within: s, as its thresholds have it, on a machine with nothing else to do."""
    begin = time.monotonic()
    assert box.is_off_within(within + LATE), f"still up: {box.reported()}"
    seconds = time.monotonic() - begin
    why = box.why()
    assert why is not None and why.at is not None
    return Outcome(why.layer, seconds, why.reason)


def stays_up_by(box: Box, signal: str) -> None:
    """Well past the idle time, and it is this signal that the verdict names."""
    assert not box.is_off_within(IDLE + 8), f"stopped while it worked: {box.why()}"
    status = box.status()
    assert signal in status["verdict"]["reason"] or signal in status["seen"], status
