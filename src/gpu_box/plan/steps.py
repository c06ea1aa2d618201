"""The changes that a plan can ask for. A step says what, and why in words; `aws.steps` knows how.

Steps of one `stage` are independent and run side by side; stages follow one another. Stages that make
something billable come after the ones that arm what stops it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar

from gpu_box.model.observed import Cidr, Guess, InstanceState, Launch, Launchable


@dataclass(frozen=True, kw_only=True)
class Step:
    stage: ClassVar[int] = 0
    mark: ClassVar[str] = "+"  # + makes, > starts or waits, ~ changes, - removes
    title: ClassVar[str] = ""  # short stable name for progress lines

    def __str__(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ImportKeyPair(Step):
    title: ClassVar[str] = "key pair"
    public_key: str

    def __str__(self) -> str:
        return "key pair: your public key, so that only you get in"


@dataclass(frozen=True, kw_only=True)
class ReplaceKeyPair(Step):
    title: ClassVar[str] = "key pair"
    mark: ClassVar[str] = "~"
    key_name: str
    public_key: str

    def __str__(self) -> str:
        return "key pair: replaced by your present key (no instance uses the old one)"


@dataclass(frozen=True, kw_only=True)
class CreateSecurityGroup(Step):
    title: ClassVar[str] = "security group"
    generation: str
    vpc_id: str
    ssh_from: tuple[Cidr, ...]

    def __str__(self) -> str:
        return f"security group: port 22 from {_join(self.ssh_from)}, nothing else"


@dataclass(frozen=True, kw_only=True)
class AllowSsh(Step):
    title: ClassVar[str] = "security group"
    mark: ClassVar[str] = "~"
    group_id: str
    allow: tuple[Cidr, ...]
    revoke: tuple[Cidr, ...] = ()

    def __str__(self) -> str:
        gone = f" (no longer {_join(self.revoke)})" if self.revoke else ""
        return f"security group: port 22 from {_join(self.allow)}{gone}"


@dataclass(frozen=True, kw_only=True)
class RemoveForeignRules(Step):
    """Only where a person has consented to each."""

    title: ClassVar[str] = "security group"
    mark: ClassVar[str] = "-"
    group_id: str
    rules: tuple[str, ...]

    def __str__(self) -> str:
        return f"security group: no longer {'; '.join(self.rules)}"


@dataclass(frozen=True, kw_only=True)
class CreateDeadlineRole(Step):
    title: ClassVar[str] = "deadline role"

    def __str__(self) -> str:
        return "deadline role: may stop boxes in this region and nothing else"


@dataclass(frozen=True, kw_only=True)
class CancelSpotRequest(Step):
    """Before its instance goes: else AWS launches another one."""

    title: ClassVar[str] = "spot request"
    stage: ClassVar[int] = -1
    mark: ClassVar[str] = "-"
    request_id: str

    def __str__(self) -> str:
        return f"spot request {self.request_id}: cancelled"


@dataclass(frozen=True, kw_only=True)
class Terminate(Step):
    title: ClassVar[str] = "instance"
    stage: ClassVar[int] = 0
    mark: ClassVar[str] = "-"
    instance_id: str
    why: str

    def __str__(self) -> str:
        return f"instance {self.instance_id}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class RunInstance(Step):
    title: ClassVar[str] = "instance"
    stage: ClassVar[int] = 1
    launch: Launch
    launchable: Launchable

    def __str__(self) -> str:
        first, *others = self.launchable.placements
        more = f", else {len(others)} other placements in turn" if others else ""
        return f"instance: {first}{more}, {self.launchable.image_name}"


@dataclass(frozen=True, kw_only=True)
class StartInstance(Step):
    title: ClassVar[str] = "instance"
    stage: ClassVar[int] = 2
    mark: ClassVar[str] = ">"
    instance_id: str
    type: str
    zone: str

    def __str__(self) -> str:
        return f"instance {self.instance_id}: start, with its disk as it was left"


@dataclass(frozen=True, kw_only=True)
class TagAgain(Step):
    """An instance that AWS launched by itself has no tag, and AWS permits nothing else before it has."""

    title: ClassVar[str] = "instance"
    mark: ClassVar[str] = "~"
    instance_id: str

    def __str__(self) -> str:
        return f"instance {self.instance_id}: AWS launched it for the box's spot request; tagged again"


@dataclass(frozen=True, kw_only=True)
class NoteResize(Step):
    """That a running box is being resized: whoever finishes it starts the box again. type "": it is done."""

    title: ClassVar[str] = "resize"
    mark: ClassVar[str] = "~"
    instance_id: str
    type: str

    def __str__(self) -> str:
        return f"resize: to {self.type}" if self.type else "resize: done"


@dataclass(frozen=True, kw_only=True)
class NoteExtend(Step):
    """From where to where the deadline moves: whoever runs a cut `extend` again adds nothing to it."""

    title: ClassVar[str] = "deadline"
    mark: ClassVar[str] = "~"
    instance_id: str
    moving: tuple[datetime, datetime] | None  # None: it has moved

    def __str__(self) -> str:
        return f"deadline: to {self.moving[1].astimezone():%a %H:%M}" if self.moving else "deadline: moved"


@dataclass(frozen=True, kw_only=True)
class NoteLimits(Step):
    """The limits that the box runs with, so that no other config loosens them unasked."""

    title: ClassVar[str] = "limits"
    mark: ClassVar[str] = "~"
    instance_id: str
    value: str

    def __str__(self) -> str:
        return "limits: noted in a tag of the box"


@dataclass(frozen=True, kw_only=True)
class NoteBake(Step):
    """That a running box is stopped for its image: whoever finishes it starts the box again."""

    title: ClassVar[str] = "image"
    mark: ClassVar[str] = "~"
    instance_id: str
    on: bool

    def __str__(self) -> str:
        return "image: the box stops for a moment" if self.on else "image: the box runs again"


@dataclass(frozen=True, kw_only=True)
class NoteMoved(Step):
    """That the image by which the box came to its zone is gone."""

    title: ClassVar[str] = "image"
    mark: ClassVar[str] = "~"
    instance_id: str

    def __str__(self) -> str:
        return "image: the box has moved"


@dataclass(frozen=True, kw_only=True)
class CreateImage(Step):
    """Of a stopped instance's disk. Idempotent by the image's name, which is made of kind and content."""

    title: ClassVar[str] = "image"
    stage: ClassVar[int] = 1
    instance_id: str
    kind: str
    of: str

    def __str__(self) -> str:
        return f"image of the disk of {self.instance_id}"


@dataclass(frozen=True, kw_only=True)
class WaitForImage(Step):
    title: ClassVar[str] = "image"
    stage: ClassVar[int] = 3
    mark: ClassVar[str] = ">"
    image_id: str

    def __str__(self) -> str:
        return f"image {self.image_id}: wait until it is available"


@dataclass(frozen=True, kw_only=True)
class DeregisterImage(Step):
    title: ClassVar[str] = "image"
    mark: ClassVar[str] = "-"
    image_id: str
    why: str = "removed"

    def __str__(self) -> str:
        return f"image {self.image_id}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class DeleteSnapshot(Step):
    title: ClassVar[str] = "image"
    mark: ClassVar[str] = "-"
    stage: ClassVar[int] = 4
    snapshot_id: str
    size_gib: int

    def __str__(self) -> str:
        return f"snapshot {self.snapshot_id} ({self.size_gib} GiB): deleted"


@dataclass(frozen=True, kw_only=True)
class ChangeType(Step):
    """Of a stopped instance. After CountSession: what a session cost is reckoned by the type that it had."""

    title: ClassVar[str] = "instance"
    stage: ClassVar[int] = 2
    mark: ClassVar[str] = "~"
    instance_id: str
    before: str
    type: str

    def __str__(self) -> str:
        return f"instance {self.instance_id}: {self.type} instead of {self.before}, its disk kept"


@dataclass(frozen=True, kw_only=True)
class GrowDisk(Step):
    """Of any instance that exists. The file system follows on the machine, or at its next boot."""

    title: ClassVar[str] = "disk"
    stage: ClassVar[int] = 1
    mark: ClassVar[str] = "~"
    instance_id: str
    before: int
    size_gib: int

    def __str__(self) -> str:
        return f"disk: {self.size_gib} GiB instead of {self.before}, everything on it kept"


@dataclass(frozen=True, kw_only=True)
class ArmDeadline(Step):
    """For an instance that exists already: armed or moved before it is started."""

    title: ClassVar[str] = "deadline"
    stage: ClassVar[int] = 1
    mark: ClassVar[str] = "~"
    at: datetime
    instance_id: str
    exists: bool  # whether it is armed for this very instance, and only to be moved

    def __str__(self) -> str:
        return f"deadline: AWS stops it at {self.at.astimezone():%a %H:%M}, whatever the box does"


@dataclass(frozen=True, kw_only=True)
class CountSession(Step):
    """What the session that has ended cost, kept in tags: the next start overwrites its LaunchTime."""

    title: ClassVar[str] = "last session"
    stage: ClassVar[int] = 1
    mark: ClassVar[str] = "~"
    instance_id: str
    launched: datetime
    transition: str  # EC2's StateTransitionReason; without a time the box's console may tell
    deadline: datetime | None
    usd_hour: Decimal | None  # None: not known
    before: tuple[tuple[date, Decimal], ...]  # what earlier sessions cost, a day

    def __str__(self) -> str:
        return f"last session: from {self.launched.astimezone():%a %H:%M}, its cost noted in a tag"


@dataclass(frozen=True, kw_only=True)
class CorrectSession(Step):
    """An earlier session's cost, counted by a guess, once the box itself has said when it stopped."""

    title: ClassVar[str] = "last session"
    mark: ClassVar[str] = "~"
    instance_id: str
    guess: Guess
    ended: datetime
    before: tuple[tuple[date, Decimal], ...]  # US dollars a day, with the guess

    def __str__(self) -> str:
        return f"last session: ended {self.ended.astimezone():%a %H:%M} by the box's record, cost corrected"


@dataclass(frozen=True, kw_only=True)
class StopInstance(Step):
    title: ClassVar[str] = "instance"
    mark: ClassVar[str] = "-"
    instance_id: str

    def __str__(self) -> str:
        return f"instance {self.instance_id}: stop, its disk kept"


@dataclass(frozen=True, kw_only=True)
class WaitForInstance(Step):
    title: ClassVar[str] = "instance"
    stage: ClassVar[int] = 3
    mark: ClassVar[str] = ">"
    instance_id: str
    state: InstanceState

    def __str__(self) -> str:
        return f"instance {self.instance_id}: wait until {self.state}"


@dataclass(frozen=True, kw_only=True)
class DeleteDeadline(Step):
    title: ClassVar[str] = "deadline"
    mark: ClassVar[str] = "-"
    # After the instance is gone: until then the deadline is what stops it if this laptop dies here.
    stage: ClassVar[int] = 4

    def __str__(self) -> str:
        return "deadline: removed"


@dataclass(frozen=True, kw_only=True)
class DeleteDeadlineRole(Step):
    title: ClassVar[str] = "deadline role"
    mark: ClassVar[str] = "-"
    stage: ClassVar[int] = 4

    def __str__(self) -> str:
        return "deadline role: removed"


@dataclass(frozen=True, kw_only=True)
class DeleteKeyPair(Step):
    title: ClassVar[str] = "key pair"
    mark: ClassVar[str] = "-"
    stage: ClassVar[int] = 4
    key_name: str

    def __str__(self) -> str:
        return "key pair: removed from AWS (your own file stays)"


@dataclass(frozen=True, kw_only=True)
class DeleteVolume(Step):
    title: ClassVar[str] = "disk"
    mark: ClassVar[str] = "-"
    stage: ClassVar[int] = 4
    volume_id: str
    size_gib: int

    def __str__(self) -> str:
        return f"disk {self.volume_id} ({self.size_gib} GiB): deleted"


@dataclass(frozen=True, kw_only=True)
class DeleteSecurityGroup(Step):
    title: ClassVar[str] = "security group"
    mark: ClassVar[str] = "-"
    # Last of all: it carries the generation, by which a killed `down` and the next `up` know this life.
    stage: ClassVar[int] = 5
    group_id: str

    def __str__(self) -> str:
        return "security group: removed"


def _join(cidrs: tuple[Cidr, ...]) -> str:
    return ", ".join(str(c) for c in cidrs)
