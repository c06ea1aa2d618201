"""The frozen types that pass between rooms. No behaviour beyond what a value knows of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

Cidr = IPv4Network | IPv6Network


class InstanceState(StrEnum):
    """EC2's own words."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    UNKNOWN = "unknown"  # not EC2's: any other word

    @property
    def bills(self) -> bool:
        """Whether instance seconds are charged; `stopping` is not, but is not yet safe either.

        A state that is not known counts as charged: too much is better than a box that nobody counts.
        """
        return self in (InstanceState.PENDING, InstanceState.RUNNING, InstanceState.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class StopAsked:
    """That `gpu-box stop` asked for the stop."""

    at: datetime  # aware, UTC
    by: str


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Why a box stopped."""

    layer: (
        str  # fuse, watcher, guard, deadline; command, box (shut down on it), AWS; outside: not known there
    )
    reason: str
    at: datetime | None  # aware, UTC; None where nobody tells
    signals: tuple[tuple[str, str], ...] = ()  # each signal's last figures, in words
    last_use: tuple[str, datetime] | None = None


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Something that AWS tells of an instance and that cannot be read: a tag edited by hand, a new state."""

    what: str
    remedy: str  # how to repair it, a full sentence
    entering: bool = False  # whether the machine cannot be entered without it

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Guess:
    """An earlier session whose end was not known when it was counted: the latest moment possible counts."""

    launched: datetime  # aware, UTC
    until: datetime  # aware, UTC: counted until then
    usd_hour: Decimal  # counted at this price


PENDING_KEY = "pending "  # in the tag gpu-box:host-key: before a key that may not be in use yet


@dataclass(frozen=True, kw_only=True)
class Instance:
    id: str
    state: InstanceState
    type: str
    zone: str
    launched: datetime  # the last start, aware, UTC
    address: str | None = None  # public IPv4, else IPv6; None while it has none
    private_address: str | None = None  # by which the members of a cluster reach each other
    market: str = "on-demand"  # on-demand | spot
    key: str = (
        ""  # tag gpu-box:key: SHA256 fingerprint of the public key that lets in; "": of an older gpu-box
    )
    host_key: str | None = None  # tag gpu-box:host-key: "ssh-ed25519 AAAA...", or "pending " + that
    ssh_port: int = 22  # tag gpu-box:ssh-port: for images whose sshd listens elsewhere
    reason_code: str = ""  # EC2's StateReason of its last change of state: "Client.UserInitiatedShutdown"
    reason: str = ""  # the message of it
    transition: str = ""  # EC2's StateTransitionReason: "User initiated (2026-11-23 14:02:11 GMT)"
    stop_asked: StopAsked | None = None  # tag gpu-box:stop: by our own command, the last time
    spent: tuple[tuple[date, Decimal], ...] = ()  # tags gpu-box:usd-*: US dollars a day of earlier sessions
    spent_until: datetime | None = None  # tag gpu-box:counted: LaunchTime of the last session in `spent`
    guess: Guess | None = None  # tag gpu-box:guessed: a session in `spent` that counts for too much, perhaps
    resizing: str = ""  # tag gpu-box:resizing: the type to which a running box was on its way
    extending: tuple[datetime, datetime] | None = (
        None  # tag gpu-box:extending: the deadline before, and to be
    )
    baking: bool = False  # tag gpu-box:baking: it ran when `bake` stopped it, and is to run again
    moved_from: str = (
        ""  # tag gpu-box:moved-from: the image that brought its disk here, until that is removed
    )
    limits: str = ""  # tag gpu-box:limits: those that it runs with (gpu_box.plan.limits)
    disk_gib: int | None = None  # tag gpu-box:disk-gib, of the root volume; None: of an older gpu-box
    owner: str = ""
    spot_request_id: str = ""  # the request behind a spot instance
    tagged: bool = True  # False for one that AWS launched by itself, behind the box's spot request
    unreadable: tuple[Unreadable, ...] = ()  # what is left out above

    @property
    def exists(self) -> bool:
        return self.state not in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


@dataclass(frozen=True, kw_only=True)
class SecurityGroup:
    id: str
    generation: str  # tag gpu-box:generation: names this life of the box, from its first `up` to its `down`
    ssh_from: frozenset[Cidr] = frozenset()  # let in by gpu-box's own rules,
    ssh_from_foreign: frozenset[Cidr] = frozenset()  # and by such as somebody made by hand
    foreign: tuple[str, ...] = ()  # all rules made by hand, in words
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    id: str
    name: str
    public_key: str  # OpenSSH line without its comment; "" where AWS does not tell
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Volume:
    id: str
    size_gib: int
    attached_to: str | None
    created: datetime | None = None  # aware, UTC
    owner: str = ""


BAKED, MOVING = "baked", "moving"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An AMI of the box's disk."""

    id: str
    state: str  # EC2's: pending | available | failed, ...
    kind: str  # tag gpu-box:image: BAKED, kept until `down`; or MOVING, until the box is elsewhere
    of: str  # tag gpu-box:image-of: whose disk, as the session that ended then left it (`image_plan.content`)
    created: datetime  # aware, UTC
    snapshot_ids: tuple[str, ...] = ()  # () while AWS does not tell: it is pending
    owner: str = ""

    @property
    def usable(self) -> bool:
        """Now, or soon."""
        return self.state in ("pending", "available")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What an image bills: its size at most, as only what is written counts."""

    id: str
    size_gib: int
    created: datetime  # aware, UTC
    usd_month: Decimal = Decimal(0)  # at most
    progress: str = ""  # EC2's: "45%"
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """The one-time schedule on AWS's side that stops `instance_id` at `at`."""

    instance_id: str
    at: datetime  # aware, UTC
    role_arn: str
    broken: str = ""  # why it stops no box, though there is one; then of no instance, in the past


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An instance of any box of anybody in the region."""

    box: str
    instance: Instance


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How a box is likely to be found, and so what of it is asked first. What AWS tells against it counts."""

    state: Literal["nothing", "stopped", "anything"]
    # Where it is expected to be stopped: its instance, and the role of its deadline.
    instance_id: str = ""
    role_arn: str = ""


NOTHING, ANYTHING = Expected(state="nothing"), Expected(state="anything")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything that exists for one box, as AWS told it, at one moment."""

    region: str
    instances: tuple[Instance, ...] = ()  # terminated ones too, while AWS still shows them
    group: SecurityGroup | None = None
    key_pair: KeyPair | None = None
    volumes: tuple[Volume, ...] = ()
    images: tuple[Image, ...] = ()  # of its disk, the newest first
    snapshots: tuple[Snapshot, ...] = ()
    spot_requests: tuple[SpotRequest, ...] = ()  # those that could still launch something
    deadline: Deadline | None = None
    deadline_late: bool = False  # whether it is still to be armed, once AWS accepts its new role
    deadline_role_arn: str | None = None  # None where it does not exist
    deadline_role_shared: bool = False  # whether schedules of other boxes in the region use it
    deadline_role_ready: bool = False  # whether it was seen to be allowed what it is for
    deadline_unavailable: str = ""  # why AWS's side cannot be armed (no permission); "" where it can
    deadline_unread: str = ""  # why it is not known whether there is one (no answer); "" where it is
    gone: tuple[tuple[date, Decimal], ...] = ()  # US dollars a day of its instances that are no more
    others: tuple[Listed, ...] = ()  # other boxes of the region
    caller: tuple[Cidr, ...] = ()  # where the laptop is seen from; () where it was not asked

    @property
    def live(self) -> tuple[Instance, ...]:
        """Instances that exist, the one to keep first: set up before empty, then the oldest."""
        return tuple(
            sorted(
                (i for i in self.instances if i.exists), key=lambda i: (i.host_key is None, i.launched, i.id)
            )
        )

    @property
    def instance(self) -> Instance | None:
        return self.live[0] if self.live else None

    @property
    def usd_month_images(self) -> Decimal:
        """What the images bill, at most."""
        return sum((snapshot.usd_month for snapshot in self.snapshots), Decimal(0))

    @property
    def nothing_left(self) -> bool:
        going = any(i.state is InstanceState.SHUTTING_DOWN for i in self.instances)
        role = self.deadline_role_arn and not self.region_in_use and not self.deadline_unread
        left = (self.live, self.group, self.key_pair, self.volumes, self.deadline, role)
        return not (going or any(left) or self.spot_requests or self.images or self.snapshots)

    @property
    def region_in_use(self) -> bool:
        """Whether there is another box in the region: the deadlines' role is shared."""
        return self.deadline_role_shared or any(listed.instance.exists for listed in self.others)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One place to try: an instance type in a zone, on a market."""

    type: str
    zone: str
    subnet_id: str
    market: str = "on-demand"  # on-demand | spot

    def __str__(self) -> str:
        return f"{self.type} in {self.zone}" + (", spot" if self.market == "spot" else "")


@dataclass(frozen=True, kw_only=True)
class SpotRequest:
    """Behind a spot instance. A persistent one launches again until it is cancelled: a leak of money."""

    id: str
    state: str  # open | active | disabled (its instance was stopped) | closed | cancelled | failed
    instance_id: str | None
    owner: str = ""

    @property
    def exists(self) -> bool:
        return self.state not in ("closed", "cancelled", "failed")


@dataclass(frozen=True, kw_only=True)
class Launchable:
    """What could be launched now: read only when an instance is wanted."""

    image_id: str
    image_name: str
    image_kind: str = ""  # of an image of the box's own disk: baked | moving
    image_pending: bool = False  # such a one that AWS is still making
    root_device: str
    min_disk_gib: int
    vpc_id: str
    placements: tuple[Placement, ...]  # in the order in which to try them
    cluster_group_id: str | None = None  # the security group that a cluster's members share


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What the laptop brings to a launch: nothing of it is kept on the laptop but the user's own key."""

    generation: str
    public_key: str  # OpenSSH line of the user's key
    user_data: str
