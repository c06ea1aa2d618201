"""What each command answers with `--json`: frozen types, of which docs/schema.json is made.

A field once here keeps its name and meaning; new ones may be added. Money is US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from gpu_box.aws.quotas import Request
from gpu_box.model.leftovers import Leftover, Unread
from gpu_box.model.observed import Stopped


def one_or_all(results: Sequence[Any]) -> Any:
    """Of one box its own object, of a cluster (`boxes: 2`) a list."""
    return results[0] if len(results) == 1 else results


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    mark: str  # + make, > start, ~ change, - remove
    title: str
    line: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    box: str
    region: str
    instance_type: str
    steps: tuple[PlannedStep, ...]  # in AWS; empty: nothing is missing there
    usd_hour: Decimal | None  # running; null: the type's price is not known
    usd_hour_on_demand: Decimal | None  # of a spot instance: what it would cost on demand
    usd_month_stopped: Decimal  # its disk
    prices: str  # where they are from, and of when
    missing_quota: str | None  # what stands in the way
    foreign_rules: tuple[str, ...]  # of the security group, added by somebody else
    config: Path | None  # the file that was read; null: none, all defaults
    limits_kept: tuple[
        str, ...
    ]  # of the running box, tighter than the config's: `up` asks before it loosens them


@dataclass(frozen=True, kw_only=True)
class Up:
    box: str
    state: str  # EC2's word
    changed: bool  # whether anything was to be done
    instance: str
    type: str
    zone: str
    address: str | None
    ssh_port: int
    usd_hour: Decimal | None
    deadline: datetime | None  # at which AWS stops it; null: not armed
    stopped: Stopped | None  # why it had stopped before
    resumed: tuple[str, ...]  # jobs that go on after an interruption by AWS
    warning: str | None  # of the budget
    limits_kept: tuple[str, ...]  # of the running box, tighter than the config's


@dataclass(frozen=True, kw_only=True)
class Resized:
    box: str
    state: str  # running, stopped
    before: str  # instance type
    type: str
    usd_hour: Decimal | None
    usd_hour_before: Decimal | None  # of the type before


@dataclass(frozen=True, kw_only=True)
class StoppedBox:
    box: str
    state: str  # EC2's word, or none: there is no such box
    usd_month_stopped: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Gone:
    box: str
    state: Literal["none"] = "none"
    left: tuple[str, ...] = ()  # always empty: else the command fails


@dataclass(frozen=True, kw_only=True)
class Baked:
    box: str
    state: str  # running, stopped
    image: str
    size_gib: int
    usd_month: Decimal  # at most: AWS bills what is written


@dataclass(frozen=True, kw_only=True)
class Unbaked:
    box: str
    image: None = None


@dataclass(frozen=True, kw_only=True)
class Moved:
    box: str
    state: str  # EC2's word
    instance: str
    before: str | None  # zone; null: it was on its way already
    zone: str


@dataclass(frozen=True, kw_only=True)
class JobStarted:
    job: str


@dataclass(frozen=True, kw_only=True)
class ReportFile:
    box: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class QuotaAsked:
    code: str  # of Service Quotas: L-DB2E81BA
    name: str
    request: Request


@dataclass(frozen=True, kw_only=True)
class Swept:
    regions: tuple[str, ...]
    found: tuple[Leftover, ...]
    usd_month: Decimal
    unread: tuple[Unread, ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    removed: tuple[Leftover, ...]
    left: tuple[Leftover, ...]
    unread: tuple[Unread, ...]


@dataclass(frozen=True, kw_only=True)
class LocalCloud:
    running: bool
    pid: int | None = None
    port: int | None = None
    started: datetime | None = None
    endpoint: str | None = None
    boxes: int = 0  # that are not terminated, stopped ones included


@dataclass(frozen=True, kw_only=True)
class LocalStopped:
    stopped: bool  # whether it ran before


def shapes() -> dict[str, Any]:
    """By command: the type of its result; a union of types where an option makes it another.

    Imported here: the command that answers needs its own alone.
    """
    from gpu_box.box import keep, work
    from gpu_box.box.cost import CostReport
    from gpu_box.box.offers import Written
    from gpu_box.model.check import Check
    from gpu_box.model.machine import SyncResult
    from gpu_box.view.error import Failure
    from gpu_box.view.status import Row, StatusView

    return {
        "init": Written,
        "plan": Plan | tuple[Plan, ...],
        "up": Up | tuple[Up, ...],
        "status": StatusView | tuple[StatusView, ...],
        "ls": tuple[Row, ...],
        "resize": Resized,
        "bake": Baked | Unbaked,
        "move": Moved,
        "stop": StoppedBox | tuple[StoppedBox, ...],
        "down": Gone | tuple[Gone, ...],
        "why": keep.Why,
        "keep": keep.Kept | tuple[keep.Kept, ...],
        "extend": keep.Extended | tuple[keep.Extended, ...],
        "sync": SyncResult | tuple[SyncResult, ...],
        "pull": SyncResult,
        "run": JobStarted | work.Ended,
        "logs": JobStarted,
        "train": JobStarted | work.Ended,
        "doctor": tuple[Check, ...] | tuple[QuotaAsked, ...],
        "cost": CostReport | tuple[CostReport, ...],
        "report": ReportFile,
        "sweep": Swept | Removed,
        "local env": Mapping[str, str],
        "local status": LocalCloud,
        "local stop": LocalStopped,
        "any command that fails": Failure,
    }
