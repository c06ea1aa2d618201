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
    title: ClassVar[str]  # short, stable name for progress lines
    stage: ClassVar[int]
    mark: ClassVar[str]  # + creates, > starts or waits, ~ changes, - removes
    line: ClassVar[str]  # what a plan shows, with the step's own fields in braces

    def __init_subclass__(cls, *, title: str, stage: int = 0, mark: str = "+") -> None:
        cls.title, cls.stage, cls.mark = title, stage, mark

    def __str__(self) -> str:
        return self.line.format(**vars(self))


@dataclass(frozen=True, kw_only=True)
class ImportKeyPair(Step, title="key pair"):
    public_key: str
    line = "key pair: your public key, so that only you get in"


@dataclass(frozen=True, kw_only=True)
class ReplaceKeyPair(Step, title="key pair", mark="~"):
    key_name: str
    public_key: str
    line = "key pair: replaced by your current key (no instance uses the old one)"


@dataclass(frozen=True, kw_only=True)
class CreateSecurityGroup(Step, title="security group"):
    generation: str
    vpc_id: str
    ssh_from: tuple[Cidr, ...]

    def __str__(self) -> str:
        return f"security group: port 22 from {_join(self.ssh_from)}, nothing else"


@dataclass(frozen=True, kw_only=True)
class AllowSsh(Step, title="security group", mark="~"):
    group_id: str
    allow: tuple[Cidr, ...]
    revoke: tuple[Cidr, ...] = ()

    def __str__(self) -> str:
        gone = f" (no longer {_join(self.revoke)})" if self.revoke else ""
        return f"security group: port 22 from {_join(self.allow)}{gone}"


@dataclass(frozen=True, kw_only=True)
class RemoveForeignRules(Step, title="security group", mark="-"):
    """Used only with the user's consent to each rule."""

    group_id: str
    rules: tuple[str, ...]

    def __str__(self) -> str:
        return f"security group: no longer {'; '.join(self.rules)}"


@dataclass(frozen=True, kw_only=True)
class CreateDeadlineRole(Step, title="deadline role"):
    line = "deadline role: may stop boxes in this region and nothing else"


@dataclass(frozen=True, kw_only=True)
class CancelSpotRequest(Step, title="spot request", stage=-1, mark="-"):
    """Done before its instance is terminated: otherwise AWS launches another one."""

    request_id: str
    line = "spot request {request_id}: cancelled"


@dataclass(frozen=True, kw_only=True)
class Terminate(Step, title="instance", mark="-"):
    instance_id: str
    why: str
    line = "instance {instance_id}: {why}"


@dataclass(frozen=True, kw_only=True)
class RunInstance(Step, title="instance", stage=1):
    launch: Launch
    launchable: Launchable

    def __str__(self) -> str:
        first, *others = self.launchable.placements
        more = f", or one of {len(others)} other placements" if others else ""
        rate = self.launchable.initialization_mib
        filled = f", its disk filled at {rate} MiB/s, which AWS bills once" if rate else ""
        return f"instance: {first}{more}, {self.launchable.image_name}{filled}"


@dataclass(frozen=True, kw_only=True)
class StartInstance(Step, title="instance", stage=2, mark=">"):
    instance_id: str
    type: str
    zone: str
    line = "instance {instance_id}: start, with its disk"


@dataclass(frozen=True, kw_only=True)
class CreateImage(Step, title="image", stage=1):
    """Makes an image of a stopped instance's disk. Idempotent by its name, made of kind and content."""

    instance_id: str
    kind: str
    of: str
    line = "image of the disk of {instance_id}"


@dataclass(frozen=True, kw_only=True)
class WaitForImage(Step, title="image", stage=3, mark=">"):
    image_id: str
    line = "image {image_id}: wait until it is available"


@dataclass(frozen=True, kw_only=True)
class DeregisterImage(Step, title="image", mark="-"):
    image_id: str
    why: str = "removed"
    line = "image {image_id}: {why}"


@dataclass(frozen=True, kw_only=True)
class DeleteSnapshot(Step, title="image", stage=4, mark="-"):
    snapshot_id: str
    size_gib: int
    line = "snapshot {snapshot_id} ({size_gib} GiB): deleted"


@dataclass(frozen=True, kw_only=True)
class ChangeType(Step, title="instance", stage=2, mark="~"):
    """Changes a stopped instance's type, after CountSession, which needs the old type's price."""

    instance_id: str
    before: str
    type: str
    line = "instance {instance_id}: {type} instead of {before}, its disk kept"


@dataclass(frozen=True, kw_only=True)
class GrowDisk(Step, title="disk", stage=1, mark="~"):
    """Works on any existing instance. The file system grows on the machine, or at its next boot."""

    instance_id: str
    before: int
    size_gib: int
    line = "disk: {size_gib} GiB instead of {before}, everything on it kept"


@dataclass(frozen=True, kw_only=True)
class ArmDeadline(Step, title="deadline", stage=1, mark="~"):
    """Arms or moves the deadline of an existing instance before it is started."""

    at: datetime
    instance_id: str
    exists: bool  # whether this instance has a deadline that is only moved

    def __str__(self) -> str:
        return f"deadline: AWS stops it at {self.at.astimezone():%a %H:%M}, whatever the box does"


@dataclass(frozen=True, kw_only=True)
class StopInstance(Step, title="instance", mark="-"):
    instance_id: str
    after: str = ""  # what ended before it, for `why`
    line = "instance {instance_id}: stop, its disk kept"


@dataclass(frozen=True, kw_only=True)
class WaitForInstance(Step, title="instance", stage=3, mark=">"):
    instance_id: str
    state: InstanceState
    line = "instance {instance_id}: wait until {state}"


# After the instance: until then the deadline stops it if this laptop dies.
@dataclass(frozen=True, kw_only=True)
class DeleteDeadline(Step, title="deadline", stage=4, mark="-"):
    line = "deadline: removed"


@dataclass(frozen=True, kw_only=True)
class DeleteDeadlineRole(Step, title="deadline role", stage=4, mark="-"):
    line = "deadline role: removed"


@dataclass(frozen=True, kw_only=True)
class DeleteKeyPair(Step, title="key pair", stage=4, mark="-"):
    key_name: str
    line = "key pair: removed from AWS (your own file is kept)"


@dataclass(frozen=True, kw_only=True)
class DeleteVolume(Step, title="disk", stage=4, mark="-"):
    volume_id: str
    size_gib: int
    line = "disk {volume_id} ({size_gib} GiB): deleted"


# Last: its generation tag identifies the box to an interrupted `down` and the next `up`.
@dataclass(frozen=True, kw_only=True)
class DeleteSecurityGroup(Step, title="security group", stage=5, mark="-"):
    group_id: str
    line = "security group: removed"


def _join(cidrs: tuple[Cidr, ...]) -> str:
    return ", ".join(str(c) for c in cidrs)
