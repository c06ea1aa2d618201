"""The results of commands, which `view` draws and `--json` prints. docs/schema.json is made from them.

Fields keep their names and meaning; new ones may be added. Money is US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from gpu_box.model.job import JobState
from gpu_box.model.machine import Host, StepState
from gpu_box.model.observed import Listed, Observed, Stopped
from gpu_box.model.watch import WatchState

# Metadata of a field that `--json` and its schema leave out.
VIEW_ONLY: Mapping[str, Any] = {"view_only": True}


def printed(result: Any) -> tuple[Field[Any], ...]:
    """The fields that `--json` prints. result: a dataclass or an instance of one."""
    return tuple(one for one in fields(result) if not one.metadata.get("view_only"))


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    mark: str  # + make, > start, ~ change, - remove
    title: str
    line: str
    stage: int = field(metadata=VIEW_ONLY)  # steps of one stage run in parallel


@dataclass(frozen=True, kw_only=True)
class ImageView:
    """An image of the box's disk."""

    id: str
    kind: str  # baked | moving
    state: str  # EC2's state
    created: datetime


@dataclass(frozen=True, kw_only=True)
class StatusView:
    """The result of `status`, also its JSON form."""

    box: str
    state: str  # EC2's state, or "none"
    region: str
    instance: str | None = None
    type: str | None = None
    zone: str | None = None
    address: str | None = None
    since: datetime | None = None  # of the last start
    uptime: timedelta | None = None
    usd_hour: Decimal | None = None
    usd_session: Decimal | None = None  # since the last start
    usd_today: Decimal | None = None  # of this UTC day, disk included
    usd_month: Decimal | None = None  # of this UTC month, disk included
    usd_budget: Decimal | None = None  # limits.budget
    usd_month_stopped: Decimal | None = None
    images: tuple[ImageView, ...] = ()
    usd_month_images: Decimal = Decimal(0)  # their monthly cost, at most
    deadline: datetime | None = None
    deadline_missing: str = ""  # why the deadline in AWS is not armed
    stopped: Stopped | None = None  # why, if the box is stopped
    watch: WatchState | None = None  # the watcher's state
    gpu: str = ""
    scratch_lost: int = 0  # bytes in ~/scratch that a stop erases (local NVMe)
    jobs: tuple[JobState, ...] = ()  # that run or wait, and the last three that ended
    jupyter: str = ""
    steps: tuple[StepState, ...] = ()
    notices: tuple[str, ...] = ()
    env: tuple[str, ...] = ()  # names of the config's `env` and `env_file`
    config: Path | None = None  # the file that was read; null: all defaults
    observed: Observed = field(metadata=VIEW_ONLY)
    unreachable: str = field(default="", metadata=VIEW_ONLY)  # why the machine did not answer


@dataclass(frozen=True, kw_only=True)
class Row:
    """A box in `ls`, whose JSON form is a list of these."""

    box: str
    state: str
    type: str
    zone: str
    instance: str
    since: datetime
    owner: str
    usd_hour: Decimal | None
    notices: tuple[str, ...] = ()  # parts that cannot be read, and how to repair them
    listed: Listed = field(metadata=VIEW_ONLY)


@dataclass(frozen=True, kw_only=True)
class Resized:
    box: str
    state: str  # running, stopped
    before: str  # instance type
    type: str
    usd_hour: Decimal | None
    usd_hour_before: Decimal | None  # of the previous type


@dataclass(frozen=True, kw_only=True)
class StoppedBox:
    box: str
    state: str  # EC2's state; none: there is no such box
    usd_month_stopped: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Gone:
    box: str
    state: Literal["none"] = "none"
    left: tuple[str, ...] = ()  # always empty: otherwise the command fails


@dataclass(frozen=True, kw_only=True)
class Baked:
    box: str
    state: str  # running, stopped
    image: str
    size_gib: int
    usd_month: Decimal  # at most: AWS bills only written blocks


@dataclass(frozen=True, kw_only=True)
class Unbaked:
    box: str
    image: None = None


@dataclass(frozen=True, kw_only=True)
class Moved:
    box: str
    state: str  # EC2's state
    instance: str
    before: str | None  # zone; null: the move had begun earlier
    zone: str


@dataclass(frozen=True, kw_only=True)
class JobStarted:
    job: str
    behind: tuple[str, ...] = ()  # the jobs before it in the queue; empty: it runs
    # Patterns of files to copy while it is followed.
    pull: tuple[str, ...] = field(default=(), metadata=VIEW_ONLY)
    host: Host = field(metadata=VIEW_ONLY)  # where it runs


@dataclass(frozen=True, kw_only=True)
class JobLogged:
    job: str
    exit_status: int | None  # the job's; null while it runs
    log: str


@dataclass(frozen=True, kw_only=True)
class Forwarded:
    """A port of the box that this laptop reaches."""

    port: int  # on the box
    local_port: int  # on 127.0.0.1 of this laptop
    taken: int | None = None  # the port that was asked for, if another program has it
    program: str = ""  # what listens there, if `tunnel` found it


@dataclass(frozen=True, kw_only=True)
class JupyterOpened:
    address: str  # with the token, if --no-browser is given
    ports: tuple[Forwarded, ...] = ()  # of `ports` in the config


@dataclass(frozen=True, kw_only=True)
class EditorOpened:
    host: str  # its name in ~/.ssh/config
    folder: str  # on the box
    python: str  # interpreter of jobs and notebooks on the box; "": not set up
    preset: bool  # whether the editor's settings on the box name that interpreter
    editor: str | None  # null: none is installed, and none was started
    ports: tuple[Forwarded, ...] = ()  # of `ports` in the config


@dataclass(frozen=True, kw_only=True)
class ReportFile:
    box: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Request:
    """A quota increase request. status: Service Quotas' status."""

    id: str
    vcpus: int
    status: str
    new: bool  # whether this command made it


@dataclass(frozen=True, kw_only=True)
class QuotaAsked:
    code: str  # Service Quotas' code: L-DB2E81BA
    name: str
    request: Request


@dataclass(frozen=True, kw_only=True)
class LocalCloud:
    running: bool
    pid: int | None = None
    port: int | None = None
    started: datetime | None = None
    endpoint: str | None = None
    boxes: int = 0  # not terminated, so stopped ones included


@dataclass(frozen=True, kw_only=True)
class LocalStopped:
    stopped: bool  # whether it was running
