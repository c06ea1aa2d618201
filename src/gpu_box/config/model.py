"""Config: what a box is to be, frozen. `config_file.load` makes it; config.example.yaml explains the keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time, timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path


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
    iops: int | None = None  # operations a second; None: the type's own
    throughput_mib: int | None = None  # MiB a second, gp3 only; None: 125


@dataclass(frozen=True, kw_only=True)
class Network:
    allow_ssh_from: tuple[IPv4Network | IPv6Network, ...] | None = None  # None: the caller's own address
    subnet: str | None = None  # None: the default VPC


@dataclass(frozen=True, kw_only=True)
class Ssh:
    key: Path = Path("~/.ssh/gpu-box")  # private key; made by `up` when it is missing
    config: bool = True  # keep a managed block for `ssh NAME` under ~/.ssh


@dataclass(frozen=True, kw_only=True)
class Idle:
    after: timedelta = timedelta(minutes=30)
    stuck_after: timedelta = timedelta(hours=2)


@dataclass(frozen=True, kw_only=True)
class Limits:
    max_hours: timedelta = timedelta(hours=12)  # the deadline: stopped from AWS's side this long after start
    stop_at: time | None = None  # a local time of day at which it stops, at the latest
    forgotten_after: timedelta = timedelta(days=14)  # a box stopped for longer is said to be forgotten
    budget: Decimal | None = None  # US dollars a calendar month (UTC); the deadline is never past its end


@dataclass(frozen=True, kw_only=True)
class Sync:
    source: Path = Path(".")  # the local project folder, relative to config.yaml
    exclude: tuple[str, ...] = ()  # .gitignore patterns on top of the project's own .gitignore
    results: Path = Path("results")  # where `pull` puts ~/work/results


@dataclass(frozen=True, kw_only=True)
class Jupyter:
    port: int = 8888  # on the box, on 127.0.0.1; the local end picks the next free one


@dataclass(frozen=True, kw_only=True)
class Notify:
    """Who is told that the box stops, stopped and why, that a job ended, that the budget goes."""

    webhook: str | None = field(default=None, repr=False)  # a secret; told by the box itself
    format: str | None = None  # slack | discord | ntfy | json; None: by the webhook's host
    command: str | None = None  # for this laptop's shell, told by its environment (notices.py)
    desktop: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """One box. Paths are absolute; durations are timedeltas; money is Decimal US dollars."""

    name: str = "gpu-box"
    region: str | None = None  # None: the AWS SDK's own default (AWS_DEFAULT_REGION, profile)
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
    boxes: int = 1  # so many alike, in one cluster: gpu_box.box.cluster
    cluster: str | None = None  # of a member of one: the cluster's name; never in the file
    any_owner: bool = (
        False  # whether another owner's box may be changed, as its user agreed; never in the file
    )
    notify: Notify = field(default_factory=Notify)
    packages: tuple[str, ...] = ()  # more Python packages for the box's environment
    kaggle: bool = False  # bring this laptop's Kaggle credentials, and Kaggle's package, to the box
    path: Path | None = None  # the file it came from; None: all defaults
