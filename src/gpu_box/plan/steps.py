"""The changes that a plan can ask for. A step describes the change; `aws.steps` makes it.

Steps of one `stage` are independent and run in parallel; stages run one after another. Steps that start
billing come after those that arm a stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from gpu_box.model.observed import Cidr, InstanceState, Launch, Launchable


@dataclass(frozen=True, kw_only=True)
class Step:
    stage: ClassVar[int] = 0
    mark: ClassVar[str] = "+"  # + creates, > starts or waits, ~ changes, - removes
    title: ClassVar[str] = ""  # short, stable name for progress lines

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
        return "key pair: replaced by your current key (no instance uses the old one)"


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
    """Used only with the user's consent to each rule."""

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
    """Done before its instance is terminated: otherwise AWS launches another one."""

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
        more = f", or one of {len(others)} other placements" if others else ""
        rate = self.launchable.initialization_mib
        filled = f", its disk filled at {rate} MiB/s, which AWS bills once" if rate else ""
        return f"instance: {first}{more}, {self.launchable.image_name}{filled}"


@dataclass(frozen=True, kw_only=True)
class StartInstance(Step):
    title: ClassVar[str] = "instance"
    stage: ClassVar[int] = 2
    mark: ClassVar[str] = ">"
    instance_id: str
    type: str
    zone: str

    def __str__(self) -> str:
        return f"instance {self.instance_id}: start, with its disk"


@dataclass(frozen=True, kw_only=True)
class CreateImage(Step):
    """Makes an image of a stopped instance's disk. Idempotent by its name, made of kind and content."""

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
    """Changes a stopped instance's type, after CountSession, which needs the old type's price."""

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
    """Works on any existing instance. The file system grows on the machine, or at its next boot."""

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
    """Arms or moves the deadline of an existing instance before it is started."""

    title: ClassVar[str] = "deadline"
    stage: ClassVar[int] = 1
    mark: ClassVar[str] = "~"
    at: datetime
    instance_id: str
    exists: bool  # whether this instance has a deadline that is only moved

    def __str__(self) -> str:
        return f"deadline: AWS stops it at {self.at.astimezone():%a %H:%M}, whatever the box does"


@dataclass(frozen=True, kw_only=True)
class StopInstance(Step):
    title: ClassVar[str] = "instance"
    mark: ClassVar[str] = "-"
    instance_id: str
    after: str = ""  # what ended before it, for `why`

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
    # After the instance: until then the deadline stops it if this laptop dies.
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
        return "key pair: removed from AWS (your own file is kept)"


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
    # Last: its generation tag identifies the box to an interrupted `down` and the next `up`.
    stage: ClassVar[int] = 5
    group_id: str

    def __str__(self) -> str:
        return "security group: removed"


def _join(cidrs: tuple[Cidr, ...]) -> str:
    return ", ".join(str(c) for c in cidrs)
