"""A trace with its name, its policy and what must become of the box."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .builder import Box

STORIES: list[Story] = []


@dataclasses.dataclass(frozen=True)
class Story:
    name: str
    stops: float | None  # minutes into the trace at which the box must stop; None: it must not
    why: str  # what the reason of the last verdict must say
    policy: dict[str, Any]
    live: Callable[[Box], Any]

    def box(self) -> Box:
        box = Box()
        self.live(box)
        return box


def story(*, stops: float | None, why: str = "", **policy: Any) -> Callable[..., Callable[[Box], Any]]:
    """Enter a function that lives a box's life under its own name. max_hours is off unless given."""

    def enter(live: Callable[[Box], Any]) -> Callable[[Box], Any]:
        STORIES.append(Story(live.__name__, stops, why, {"max_hours": None, **policy}, live))
        return live

    return enter
