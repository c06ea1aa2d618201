"""A trace with its name, policy and expected result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .builder import Box

STORIES: list[Story] = []


@dataclasses.dataclass(frozen=True)
class Story:
    name: str
    stops: float | None  # minutes into the trace at which the box must stop; None: never
    why: str  # text in the reason of the last verdict
    policy: dict[str, Any]
    live: Callable[[Box], Any]

    def box(self) -> Box:
        box = Box()
        self.live(box)
        return box


def story(*, stops: float | None, why: str = "", **policy: Any) -> Callable[..., Callable[[Box], Any]]:
    """Register a function that builds a trace under its name. max_hours is off unless given."""

    def enter(live: Callable[[Box], Any]) -> Callable[[Box], Any]:
        STORIES.append(Story(live.__name__, stops, why, {"max_hours": None, **policy}, live))
        return live

    return enter
