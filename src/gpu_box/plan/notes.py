"""Steps that only write tags: they record what AWS forgets, and what an interrupted command was doing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar

from gpu_box.model.observed import Guess
from gpu_box.plan.steps import Step


@dataclass(frozen=True, kw_only=True)
class TagAgain(Step):
    """AWS launched an instance by itself, without tags, and permits nothing else before it has them."""

    title: ClassVar[str] = "instance"
    mark: ClassVar[str] = "~"
    instance_id: str

    def __str__(self) -> str:
        return f"instance {self.instance_id}: AWS launched it for the box's spot request; tagged again"


@dataclass(frozen=True, kw_only=True)
class NoteResize(Step):
    """Marks a running box as being resized, so that an interrupted resize starts it again. type "": done."""

    title: ClassVar[str] = "resize"
    mark: ClassVar[str] = "~"
    instance_id: str
    type: str

    def __str__(self) -> str:
        return f"resize: to {self.type}" if self.type else "resize: done"


@dataclass(frozen=True, kw_only=True)
class NoteExtend(Step):
    """Records the old and new deadline, so that repeating an interrupted `extend` does not add to it."""

    title: ClassVar[str] = "deadline"
    mark: ClassVar[str] = "~"
    instance_id: str
    moving: tuple[datetime, datetime] | None  # None: done

    def __str__(self) -> str:
        return f"deadline: to {self.moving[1].astimezone():%a %H:%M}" if self.moving else "deadline: moved"


@dataclass(frozen=True, kw_only=True)
class NoteLimits(Step):
    """Records the limits that the box runs with, so that no other config loosens them without asking."""

    title: ClassVar[str] = "limits"
    mark: ClassVar[str] = "~"
    instance_id: str
    value: str

    def __str__(self) -> str:
        return "limits: recorded in a tag of the box"


@dataclass(frozen=True, kw_only=True)
class NoteBake(Step):
    """Marks a box as stopped for its image, so that an interrupted `bake` starts it again."""

    title: ClassVar[str] = "image"
    mark: ClassVar[str] = "~"
    instance_id: str
    on: bool

    def __str__(self) -> str:
        return "image: the box stops for a moment" if self.on else "image: the box runs again"


@dataclass(frozen=True, kw_only=True)
class NoteMoved(Step):
    """Clears the note of the image that moved the box to its zone."""

    title: ClassVar[str] = "image"
    mark: ClassVar[str] = "~"
    instance_id: str

    def __str__(self) -> str:
        return "image: the box has moved"


@dataclass(frozen=True, kw_only=True)
class CountSession(Step):
    """Records the ended session's cost in tags, because the next start overwrites its LaunchTime."""

    title: ClassVar[str] = "last session"
    stage: ClassVar[int] = 1
    mark: ClassVar[str] = "~"
    instance_id: str
    launched: datetime
    transition: str  # EC2's StateTransitionReason; if it has no time, the box's console may
    deadline: datetime | None
    usd_hour: Decimal | None  # None: unknown
    before: tuple[tuple[date, Decimal], ...]  # US dollars per day of earlier sessions

    def __str__(self) -> str:
        return f"last session: from {self.launched.astimezone():%a %H:%M}, its cost recorded in a tag"


@dataclass(frozen=True, kw_only=True)
class CorrectSession(Step):
    """Corrects a guessed session's cost once the box's own record says when it stopped."""

    title: ClassVar[str] = "last session"
    mark: ClassVar[str] = "~"
    instance_id: str
    guess: Guess
    ended: datetime
    before: tuple[tuple[date, Decimal], ...]  # US dollars per day, with the guess

    def __str__(self) -> str:
        return f"last session: ended {self.ended.astimezone():%a %H:%M} by the box's record; cost corrected"
