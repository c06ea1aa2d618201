"""What a machine says of itself, and where it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpu_box.model.watch import WatchState
from gpu_box.units import format_bytes


@dataclass(frozen=True, kw_only=True)
class Host:
    """Everything needed to reach one machine over SSH and to know that it is the right one.

    host_keys: the OpenSSH public key lines ("ssh-ed25519 AAAA...") that the machine may present; any other
    is refused. More than one only while the first key is being replaced.
    """

    name: str  # the box
    address: str
    port: int
    user: str
    key: Path  # private key file of the user
    host_keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """files, bytes: what travelled; kept: files that are newer at the receiving end, and stayed."""

    files: int
    bytes: int
    transport: str  # rsync | sftp | nothing
    deleted: int = 0
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not (self.files or self.deleted):
            return "everything is there already"
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
    """What a check found. A box that was never set up has no steps."""

    steps: tuple[StepState, ...]
    jupyter: JupyterState
    mirror_current: bool  # whether the box's copy of remote/ is this installation's
    gpu: str  # "Tesla T4", "2 x Tesla T4", "" for none
    project: str = ""  # fingerprint of the project that was last pushed whole (`Selection`)
    reboot_needed: bool = False
    watch: WatchState | None = None  # None where no watcher answers
    health: Health | None = None  # None where it was not asked for

    @property
    def needs_work(self) -> bool:
        """Whether `apply` would change anything."""
        waiting = {"driver"} if self.reboot_needed else set()
        needed = any(step.status == "needed" and step.name not in waiting for step in self.steps)
        return needed or not self.steps or not self.mirror_current

    def step(self, name: str) -> StepState | None:
        return next((step for step in self.steps if step.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Health:
    disk_bytes: int
    disk_free_bytes: int
    files: int  # inodes that the file system has; 0: it makes them as it needs them
    files_free: int
    kernel: str  # that runs: "6.8.0-1021-aws"
    kernel_has_module: bool  # whether its folder of modules has NVIDIA's
    tool_exit: int | None  # nvidia-smi's; None where there is none
    tool_said: str
