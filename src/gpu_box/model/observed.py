"""The frozen types that pass between the packages, with no behaviour beyond their own values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

Cidr = IPv4Network | IPv6Network


class InstanceState(StrEnum):
    """EC2's state names."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    UNKNOWN = "unknown"  # any other name

    @property
    def bills(self) -> bool:
        """Whether EC2 charges for instance seconds. `stopping` is free but not yet safe.

        An unknown state counts as charged: better to overestimate than to miss a running box.
        """
        return self in (InstanceState.PENDING, InstanceState.RUNNING, InstanceState.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class StopAsked:
    """A stop requested by `gpu-box stop`."""

    at: datetime  # aware, UTC
    by: str


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Why a box stopped."""

    layer: str  # fuse, watcher, guard, deadline, command, box (shut down on it), AWS, outside (not known)
    reason: str
    at: datetime | None  # aware, UTC; None if unknown
    signals: tuple[tuple[str, str], ...] = ()  # each signal's last reading, in words
    last_use: tuple[str, datetime] | None = None


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A part of an instance's description that cannot be read: a tag edited by hand, a new state."""

    what: str
    remedy: str  # how to repair it, a full sentence
    entering: bool = False  # whether SSH is impossible without it

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Guess:
    """An earlier session with an unknown end, counted until the latest possible moment."""

    launched: datetime  # aware, UTC
    until: datetime  # aware, UTC: counted until then
    usd_hour: Decimal  # the price it was counted at


PENDING_KEY = "pending "  # prefix in the tag gpu-box:host-key of a key that may not be in use yet


@dataclass(frozen=True, kw_only=True)
class Instance:
    id: str
    state: InstanceState
    type: str
    zone: str
    launched: datetime  # the last start, aware, UTC
    address: str | None = None  # public IPv4, else IPv6; None while it has none
    private_address: str | None = None  # how members of a cluster reach each other
    market: str = "on-demand"  # on-demand | spot
    key: str = ""  # tag gpu-box:key: SHA256 fingerprint of the authorized key; "": set by an older gpu-box
    host_key: str | None = None  # tag gpu-box:host-key: "ssh-ed25519 AAAA...", or "pending " + that
    ssh_port: int = 22  # tag gpu-box:ssh-port: for images whose sshd listens on another port
    reason_code: str = ""  # EC2's StateReason of its last change of state: "Client.UserInitiatedShutdown"
    reason: str = ""  # its message
    transition: str = ""  # EC2's StateTransitionReason: "User initiated (2026-11-23 14:02:11 GMT)"
    stop_asked: StopAsked | None = None  # tag gpu-box:stop: the last request by `gpu-box stop`
    spent: tuple[tuple[date, Decimal], ...] = ()  # tags gpu-box:usd-*: US dollars a day of earlier sessions
    spent_until: datetime | None = None  # tag gpu-box:counted: LaunchTime of the last session in `spent`
    guess: Guess | None = None  # tag gpu-box:guessed: a session in `spent` that may be overestimated
    resizing: str = ""  # tag gpu-box:resizing: the target type of an unfinished resize of a running box
    # tag gpu-box:extending: the old deadline and the new one, of an unfinished `extend`
    extending: tuple[datetime, datetime] | None = None
    baking: bool = False  # tag gpu-box:baking: it ran when `bake` stopped it and must run again
    moved_from: str = ""  # tag gpu-box:moved-from: the image that its disk came from, until that is removed
    limits: str = ""  # tag gpu-box:limits: the limits it runs with (gpu_box.plan.limits)
    disk_gib: int | None = None  # tag gpu-box:disk-gib, of the root volume; None: set by an older gpu-box
    owner: str = ""
    spot_request_id: str = ""  # the request behind a spot instance
    tagged: bool = True  # False if AWS launched it through the box's spot request
    unreadable: tuple[Unreadable, ...] = ()  # values missing above because they cannot be read

    @property
    def exists(self) -> bool:
        return self.state not in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


@dataclass(frozen=True, kw_only=True)
class SecurityGroup:
    id: str
    generation: str  # tag gpu-box:generation: identifies the box from its first `up` to its `down`
    ssh_from: frozenset[Cidr] = frozenset()  # allowed by gpu-box's own rules
    ssh_from_foreign: frozenset[Cidr] = frozenset()  # allowed by rules made by hand
    foreign: tuple[str, ...] = ()  # all rules made by hand, in words
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    id: str
    name: str
    public_key: str  # OpenSSH line without its comment; "" if AWS does not return it
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
    kind: str  # tag gpu-box:image: BAKED, kept until `down`; or MOVING, kept until the move is done
    of: str  # tag gpu-box:image-of: the disk, as it was at the end of a session (`image_plan.content`)
    created: datetime  # aware, UTC
    snapshot_ids: tuple[str, ...] = ()  # () while AWS does not return them because the image is pending
    owner: str = ""

    @property
    def usable(self) -> bool:
        """Available now or soon."""
        return self.state in ("pending", "available")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot and its highest possible cost: AWS bills only written blocks, up to its size."""

    id: str
    size_gib: int
    created: datetime  # aware, UTC
    usd_month: Decimal = Decimal(0)  # at most
    progress: str = ""  # EC2's: "45%"
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """The one-time EventBridge schedule that stops `instance_id` at `at`."""

    instance_id: str
    at: datetime  # aware, UTC
    role_arn: str
    broken: str = ""  # why the schedule stops no box; then instance_id is "" and `at` is in the past


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An instance of any owner's box in the region."""

    box: str
    instance: Instance


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The likely state of a box, which decides what to read first. AWS's answers take precedence."""

    state: Literal["nothing", "stopped", "anything"]
    # If it is expected to be stopped: its instance, and the role of its deadline.
    instance_id: str = ""
    role_arn: str = ""


NOTHING, ANYTHING = Expected(state="nothing"), Expected(state="anything")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything that exists for one box, as AWS returned it at one moment."""

    region: str
    instances: tuple[Instance, ...] = ()  # including terminated ones that AWS still returns
    group: SecurityGroup | None = None
    key_pair: KeyPair | None = None
    volumes: tuple[Volume, ...] = ()
    images: tuple[Image, ...] = ()  # of its disk, the newest first
    snapshots: tuple[Snapshot, ...] = ()
    spot_requests: tuple[SpotRequest, ...] = ()  # those that can still launch an instance
    deadline: Deadline | None = None
    deadline_late: bool = False  # whether arming it must wait until AWS accepts its new role
    deadline_role_arn: str | None = None  # None if the role does not exist
    deadline_role_shared: bool = False  # whether schedules of other boxes in the region use it
    deadline_role_ready: bool = False  # whether the role was seen with its permissions
    deadline_unavailable: str = ""  # why a deadline cannot be armed in AWS, such as a missing permission
    deadline_unread: str = ""  # why it is unknown whether there is a deadline, such as no answer
    relaunched_unread: str = ""  # why it is unknown whether AWS launched another instance by itself
    gone: tuple[tuple[date, Decimal], ...] = ()  # US dollars per day of instances that no longer exist
    others: tuple[
        Listed, ...
    ] = ()  # the owner's other stopped boxes of the region, once a day in `up` and `status`
    others_exist: bool = False  # whether the region has another box, of any owner
    caller: tuple[Cidr, ...] = ()  # the laptop's public addresses; () if not looked up

    @property
    def live(self) -> tuple[Instance, ...]:
        """Existing instances, the one to keep first: those that are set up, then the oldest."""
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
        """The images' monthly cost, at most."""
        return sum((snapshot.usd_month for snapshot in self.snapshots), Decimal(0))

    @property
    def nothing_left(self) -> bool:
        going = any(i.state is InstanceState.SHUTTING_DOWN for i in self.instances)
        role = self.deadline_role_arn and not self.region_in_use and not self.deadline_unread
        left = (self.live, self.group, self.key_pair, self.volumes, self.deadline, role)
        return not (going or any(left) or self.spot_requests or self.images or self.snapshots)

    @property
    def region_in_use(self) -> bool:
        """Whether another box in the region uses the shared role of the deadlines."""
        return self.deadline_role_shared or self.others_exist


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A launch option: an instance type in a zone, on a market."""

    type: str
    zone: str
    subnet_id: str
    market: str = "on-demand"  # on-demand | spot

    def __str__(self) -> str:
        return f"{self.type} in {self.zone}" + (", spot" if self.market == "spot" else "")


@dataclass(frozen=True, kw_only=True)
class SpotRequest:
    """A spot request. A persistent one launches instances until it is cancelled, which leaks money."""

    id: str
    state: str  # open | active | disabled (its instance is stopped) | closed | cancelled | failed
    instance_id: str | None
    owner: str = ""

    @property
    def exists(self) -> bool:
        return self.state not in ("closed", "cancelled", "failed")


@dataclass(frozen=True, kw_only=True)
class Launchable:
    """The possible launches; read only if an instance is needed."""

    image_id: str
    image_name: str
    image_kind: str = ""  # baked | moving, if it is an image of the box's own disk
    image_pending: bool = False  # whether AWS is still making that image
    image_created: datetime | None = None  # aware, UTC; None: not read
    image_deprecated: datetime | None = None  # when AWS deprecates the image, aware, UTC; None: never
    initialization_mib: int = 0  # MiB/s at which AWS fills the disk from the image; 0: blocks load when read
    root_device: str
    min_disk_gib: int
    vpc_id: str
    placements: tuple[Placement, ...]  # in the order to try them
    cluster_group_id: str | None = None  # the security group that a cluster's members share


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The laptop's contribution to a launch. Only the user's own key stays on the laptop."""

    generation: str
    public_key: str  # OpenSSH line of the user's key
    user_data: str
