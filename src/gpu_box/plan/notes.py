"""Steps that only write tags: they record what AWS forgets, and what an interrupted command was doing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from gpu_box.model.observed import Guess
from gpu_box.plan.steps import Step


@dataclass(frozen=True, kw_only=True)
class TagAgain(Step, title="instance", mark="~"):
    """AWS launched an instance by itself, without tags, and permits nothing else before it has them."""

    instance_id: str
    line = "instance {instance_id}: AWS launched it for the box's spot request; tagged again"


@dataclass(frozen=True, kw_only=True)
class NoteResize(Step, title="resize", mark="~"):
    """Marks a running box as being resized, so that an interrupted resize starts it again. type "": done."""

    instance_id: str
    type: str

    def __str__(self) -> str:
        return f"resize: to {self.type}" if self.type else "resize: done"


@dataclass(frozen=True, kw_only=True)
class NoteExtend(Step, title="deadline", mark="~"):
    """Records the old and new deadline, so that repeating an interrupted `extend` does not add to it."""

    instance_id: str
    moving: tuple[datetime, datetime] | None  # None: done

    def __str__(self) -> str:
        return f"deadline: to {self.moving[1].astimezone():%a %H:%M}" if self.moving else "deadline: moved"


@dataclass(frozen=True, kw_only=True)
class NoteLimits(Step, title="limits", mark="~"):
    """Records the limits that the box runs with, so that no other config loosens them without asking."""

    instance_id: str
    value: str
    line = "limits: recorded in a tag of the box"


@dataclass(frozen=True, kw_only=True)
class NoteBake(Step, title="image", mark="~"):
    """Marks a box as stopped for its image, so that an interrupted `bake` starts it again."""

    instance_id: str
    on: bool

    def __str__(self) -> str:
        return "image: the box stops for a moment" if self.on else "image: the box runs again"


@dataclass(frozen=True, kw_only=True)
class NoteMoved(Step, title="image", mark="~"):
    """Clears the note of the image that moved the box to its zone."""

    instance_id: str
    line = "image: the box has moved"


@dataclass(frozen=True, kw_only=True)
class CountSession(Step, title="last session", stage=1, mark="~"):
    """Records the ended session's cost in tags, because the next start overwrites its LaunchTime."""

    instance_id: str
    launched: datetime
    transition: str  # EC2's StateTransitionReason; if it has no time, the box's console may
    deadline: datetime | None
    usd_hour: Decimal | None  # None: unknown
    before: tuple[tuple[date, Decimal], ...]  # US dollars per day of earlier sessions

    def __str__(self) -> str:
        return f"last session: from {self.launched.astimezone():%a %H:%M}, its cost recorded in a tag"


@dataclass(frozen=True, kw_only=True)
class CorrectSession(Step, title="last session", mark="~"):
    """Corrects a guessed session's cost once the box's own record says when it stopped."""

    instance_id: str
    guess: Guess
    ended: datetime
    before: tuple[tuple[date, Decimal], ...]  # US dollars per day, with the guess

    def __str__(self) -> str:
        return f"last session: ended {self.ended.astimezone():%a %H:%M} by the box's record; cost corrected"
