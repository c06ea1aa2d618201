"""The machine of a running instance: it accepts SSH at the instance's own address.

Two kinds: `process` (an SSH server as the current user, no root) and `nspawn` (a real Debian with systemd).
Only the reconciler starts and stops them; its calls for one machine never overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Boot:
    """The settings of one start of a machine.

    address:    the instance's public address, where SSH must answer
    port:       its port before, used again if it is free; 0 for any
    public_key: OpenSSH line of the instance's EC2 key pair
    user_data:  from RunInstances, decoded
    admits:     whether the security groups let an address reach port 22; called at each connection
    metadata:   the present items of its instance metadata service, by path
    exited:     called when the machine ends by itself (`shutdown` run in it)
    """

    instance_id: str
    address: str
    port: int
    public_key: str
    user_data: bytes
    admits: Callable[[str], bool]
    exited: Callable[[], None]
    metadata: Callable[[], Mapping[str, str]] = dict


class Machine(Protocol):
    @property
    def disk(self) -> Path:
        """The folder that outlives stop and start, the source of images. Missing before `start`."""

    def start(self, boot: Boot) -> int:
        """Start it and return the port at which SSH answers, now or within seconds."""

    def stop(self) -> None:
        """End everything that runs in it, and wait for that; the disk stays. Idempotent."""

    def destroy(self) -> None:
        """Stop it and remove its disk. Idempotent, and valid for a machine that an earlier daemon started."""

    def alive(self) -> bool:
        """Whether it runs: False before `start`, after `stop`, and once it has shut itself down."""

    def console(self) -> bytes:
        """Its console's last 64 KiB (EC2's GetConsoleOutput)."""

    def cut(self, cut: bool) -> None:
        """Cut its network, or restore it, for tests. The machine goes on."""


MachineKind = Callable[[str, Path], Machine]
"""(instance id, the machine's folder) -> Machine."""
