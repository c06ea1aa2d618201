"""What a command's function returns, `view` draws and `--json` prints. docs/schema.json is made of these.

A field once here keeps its name and meaning; new ones may be added. Money is US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from gpu_box.model.machine import Host, StepState
from gpu_box.model.observed import Listed, Observed, Stopped
from gpu_box.model.watch import WatchState

# The metadata of a field that only the terminal's view needs: `--json` and its schema leave it out.
VIEW_ONLY: Mapping[str, Any] = {"view_only": True}


def printed(result: Any) -> tuple[Field[Any], ...]:
    """The fields that `--json` prints. result: a dataclass or a value of one."""
    return tuple(one for one in fields(result) if not one.metadata.get("view_only"))


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    mark: str  # + make, > start, ~ change, - remove
    title: str
    line: str
    stage: int = field(metadata=VIEW_ONLY)  # steps of one stage are taken side by side


@dataclass(frozen=True, kw_only=True)
class ImageView:
    """An image of the box's disk."""

    id: str
    kind: str  # baked | moving
    state: str  # EC2's word
    created: datetime


@dataclass(frozen=True, kw_only=True)
class StatusView:
    """What `status` tells; its JSON form is this, field by field."""

    box: str
    state: str  # EC2's word, or "none"
    region: str
    instance: str | None = None
    type: str | None = None
    zone: str | None = None
    address: str | None = None
    since: datetime | None = None  # of the last start
    uptime: timedelta | None = None
    usd_hour: Decimal | None = None
    usd_session: Decimal | None = None  # of this run
    usd_today: Decimal | None = None  # of this UTC day, the disk included; so the next
    usd_month: Decimal | None = None
    usd_budget: Decimal | None = None  # limits.budget
    usd_month_stopped: Decimal | None = None
    images: tuple[ImageView, ...] = ()
    usd_month_images: Decimal = Decimal(0)  # what they bill, at most
    deadline: datetime | None = None
    deadline_missing: str = ""  # why AWS's side is not armed
    stopped: Stopped | None = None  # why, of a box that is stopped
    watch: WatchState | None = None  # what the box's watcher says
    gpu: str = ""
    jupyter: str = ""
    steps: tuple[StepState, ...] = ()
    notices: tuple[str, ...] = ()
    config: Path | None = None  # the file that was read; null: none, all defaults
    observed: Observed = field(metadata=VIEW_ONLY)
    unreachable: str = field(default="", metadata=VIEW_ONLY)  # why the machine did not answer


@dataclass(frozen=True, kw_only=True)
class Row:
    """A box in `ls`; its JSON form is a list of these."""

    box: str
    state: str
    type: str
    zone: str
    instance: str
    since: datetime
    owner: str
    usd_hour: Decimal | None
    notices: tuple[str, ...] = ()  # what of it cannot be read, and how to repair that
    listed: Listed = field(metadata=VIEW_ONLY)


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
    host: Host = field(metadata=VIEW_ONLY)  # where it was found running


@dataclass(frozen=True, kw_only=True)
class ReportFile:
    box: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Request:
    """An increase that AWS was asked for. status: AWS's word."""

    id: str
    vcpus: int
    status: str
    new: bool  # whether it was made now


@dataclass(frozen=True, kw_only=True)
class QuotaAsked:
    code: str  # of Service Quotas: L-DB2E81BA
    name: str
    request: Request


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
