"""A machine's state, and how to reach it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpu_box.model.job import JobState
from gpu_box.model.watch import WatchState
from gpu_box.units import format_bytes


@dataclass(frozen=True, kw_only=True)
class Host:
    """How to reach one machine over SSH and verify its identity.

    host_keys: the OpenSSH public key lines ("ssh-ed25519 AAAA...") that are accepted. More than one only
    while the first key is being replaced.
    """

    name: str  # the box
    address: str
    port: int
    user: str
    key: Path  # the user's private key file
    host_keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A port of this laptop that leads to a port of the box, as `ssh -L` has it."""

    local: int
    remote: int


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """files, bytes: transferred; kept: files that are newer at the receiving end and were not overwritten."""

    files: int
    bytes: int
    transport: str  # rsync | sftp | nothing
    deleted: int = 0
    kept: tuple[str, ...] = ()

    def __add__(self, other: SyncResult) -> SyncResult:
        return SyncResult(
            files=self.files + other.files,
            bytes=self.bytes + other.bytes,
            transport=self.transport if self.files else other.transport,
            deleted=self.deleted + other.deleted,
            kept=(*self.kept, *other.kept),
        )

    def __str__(self) -> str:
        if not (self.files or self.deleted):
            return "nothing to transfer"
        size = f"{self.files} file{'s' * (self.files != 1)}, {format_bytes(self.bytes)} by {self.transport}"
        return ", ".join([size] * bool(self.files) + [f"{self.deleted} removed"] * bool(self.deleted))


@dataclass(frozen=True, kw_only=True)
class StepState:
    name: str
    status: str  # done | needed | unavailable
    line: str


@dataclass(frozen=True, kw_only=True)
class JupyterState:
    port: int | None  # on the box; None before its first start
    answering: bool


@dataclass(frozen=True, kw_only=True)
class MachineState:
    """The result of a check. A box that was never set up has no steps."""

    steps: tuple[StepState, ...]
    jupyter: JupyterState
    mirror_current: bool  # whether the box has this installation's copy of remote/
    gpu: str  # "Tesla T4", "2 x Tesla T4", "" for none
    project_steps: tuple[StepState, ...] = ()  # after the sync: packages of the project, its set-up commands
    scratch_lost: int = 0  # bytes in ~/scratch that a stop erases
    jobs: tuple[JobState, ...] = ()  # that run or wait, and the last that ended
    project: str = ""  # fingerprint of the last complete push (`Selection`)
    reboot: str = ""  # why the machine must be rebooted once, or ""
    watch: WatchState | None = None  # None if no watcher answers
    health: Health | None = None  # None if not requested

    @property
    def needs_work(self) -> bool:
        """Whether `apply` would change anything."""
        needed = any(step.status == "needed" for step in self.steps)
        return needed or not self.steps or not self.mirror_current

    @property
    def project_needs_work(self) -> bool:
        return any(step.status == "needed" for step in self.project_steps)

    def step(self, name: str) -> StepState | None:
        return next((step for step in self.steps if step.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Health:
    disk_bytes: int
    disk_free_bytes: int
    files: int  # inodes of the file system; 0: allocated as needed
    files_free: int
    kernel: str  # the running one: "6.8.0-1021-aws"
    kernel_has_module: bool  # whether its module folder contains NVIDIA's
    tool_exit: int | None  # of nvidia-smi; None if it is not installed
    tool_said: str
