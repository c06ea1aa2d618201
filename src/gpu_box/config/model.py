"""The configuration of a box, frozen. `config.read` makes it; config.example.yaml explains the keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time, timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from gpu_box.model.machine import Forward


@dataclass(frozen=True, kw_only=True)
class ImageChoice:
    """Which AMI: a family found by its public SSM parameter, or an id."""

    family: str = "deep-learning"  # deep-learning | ubuntu
    release: str = "24.04"  # Ubuntu release of the family: 24.04 | 22.04
    id: str | None = None  # any AMI id; wins over the family
    user: str = "ubuntu"  # login name of the image


@dataclass(frozen=True, kw_only=True)
class Disk:
    size_gib: int = 100
    type: str = "gp3"  # gp3 | gp2 | io2
    iops: int | None = None  # operations a second; None: the type's baseline
    throughput_mib: int | None = None  # MiB a second, gp3 only; None: 125
    initialization_mib: int = 300  # MiB/s, from an image of the box's disk; 0: blocks load when read


@dataclass(frozen=True, kw_only=True)
class Network:
    allow_ssh_from: tuple[IPv4Network | IPv6Network, ...] | None = None  # None: the caller's own address
    subnet: tuple[str, ...] = ()  # one a zone, of one VPC; empty: the default VPC's


@dataclass(frozen=True, kw_only=True)
class Ssh:
    key: Path = Path("~/.ssh/gpu-box")  # private key; made by `up` when it is missing
    config: bool = True  # keep a managed block for `ssh NAME` under ~/.ssh
    forward_agent: bool = False  # let the user's own sessions on the box use this laptop's SSH agent


@dataclass(frozen=True, kw_only=True)
class Idle:
    after: timedelta = timedelta(minutes=30)
    stuck_after: timedelta = timedelta(hours=2)


@dataclass(frozen=True, kw_only=True)
class Limits:
    max_hours: timedelta = timedelta(hours=12)  # the deadline: AWS stops it this long after its start
    stop_at: time | None = None  # latest time of day to stop, local time
    forgotten_after: timedelta = timedelta(days=14)  # a box stopped for longer gets a reminder
    budget: Decimal | None = None  # US dollars a calendar month (UTC)


@dataclass(frozen=True, kw_only=True)
class Sync:
    source: Path = Path(".")  # the local project folder, relative to config.yaml
    exclude: tuple[str, ...] = ()  # .gitignore patterns in addition to the project's .gitignore
    results: Path = Path("results")  # where `pull` puts ~/work/results


@dataclass(frozen=True, kw_only=True)
class Jupyter:
    port: int = 8888  # on the box, on 127.0.0.1; the laptop uses the next free port


@dataclass(frozen=True, kw_only=True)
class Notify:
    """The targets of notifications: before and after a stop, at the end of a job, at shares of the budget."""

    webhook: str | None = field(default=None, repr=False)  # a secret; the box itself posts there
    format: str | None = None  # slack | discord | ntfy | json; None: from the webhook's host
    command: str | None = None  # for this laptop's shell, with the event in its environment (notices.py)
    desktop: bool = False


@dataclass(frozen=True, kw_only=True)
class Aws:
    """An account's own rules beyond AWS's defaults: gpu_box.aws.permissions, gpu_box.aws.tags."""

    tags: tuple[tuple[str, str], ...] = ()  # on all created resources, in the creating call
    deadline_role: str | None = None  # ARN of an existing role; None: `up` creates one
    permissions_boundary: str | None = None  # ARN of a policy, for the role that `up` creates
    role_path: str = "/"  # of the role that `up` creates
    kms_key: str | None = None  # ARN; encrypts the disk and its images. None: the account's default key


@dataclass(frozen=True, kw_only=True)
class Config:
    """One box. Paths are absolute; durations are timedeltas; money is Decimal US dollars."""

    name: str = "gpu-box"
    region: str | None = None  # None: AWS_REGION, or the SDK's (AWS_DEFAULT_REGION, profile)
    profile: str | None = None
    owner: str | None = None  # tag value; None: the local user name
    instance_types: tuple[str, ...] = ("g4dn.xlarge",)  # tried in this order
    market: str = "on-demand"  # on-demand | spot | spot-then-on-demand
    zones: tuple[str, ...] = ()  # tried in this order; empty: every zone that offers the type
    image: ImageChoice = field(default_factory=ImageChoice)
    disk: Disk = field(default_factory=Disk)
    network: Network = field(default_factory=Network)
    ssh: Ssh = field(default_factory=Ssh)
    idle: Idle = field(default_factory=Idle)
    limits: Limits = field(default_factory=Limits)
    sync: Sync = field(default_factory=Sync)
    jupyter: Jupyter = field(default_factory=Jupyter)
    ports: tuple[Forward, ...] = ()  # carried by `jupyter`, `open` and `tunnel`
    boxes: int = 1  # number of identical boxes in one cluster: gpu_box.box.cluster
    cluster: str | None = None  # a member's cluster name; never in the file
    any_owner: bool = False  # whether the user agreed to change another owner's box; never in the file
    without_deadline: bool = False  # the user agreed to a box that AWS cannot stop; not a key of the file
    run_for: timedelta | None = None  # `up --for`: this run's longest time; never in the file
    run_usd: Decimal | None = None  # `up --at-most`: what this run may cost, disk included; never in the file
    run_extended: bool = False  # a person has extended this run; never in the file
    notify: Notify = field(default_factory=Notify)
    aws: Aws = field(default_factory=Aws)
    packages: tuple[str, ...] = ()  # additional Python packages for the box's environment
    python: str = "auto"  # whether the project's own packages are installed: auto | none
    setup: tuple[str, ...] = ()  # commands to run in ~/work on the box, once until they change
    env: tuple[str, ...] = field(default=(), repr=False)  # NAME (of this shell, or env_file) or NAME=value
    env_file: Path | None = None  # NAME=value lines; never synced
    kaggle: bool = False  # copy this laptop's Kaggle credentials and Kaggle's package to the box
    path: Path | None = None  # the file it came from; None: all defaults

    @property
    def first_market(self) -> str:
        """on-demand, or spot: which `up` tries first."""
        return "on-demand" if self.market == "on-demand" else "spot"
