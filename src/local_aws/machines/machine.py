"""What stands behind a running instance: something to SSH into, at the instance's own address.

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
    """What EC2 tells a machine as it starts.

    address:    the instance's public address, where SSH must answer
    port:       the port it had before, taken again if it is free; 0 for any
    public_key: OpenSSH line of the instance's EC2 key pair
    user_data:  as given to RunInstances, decoded
    admits:     whether the security groups let a peer address reach port 22; asked at each connection
    metadata:   what its instance metadata service tells now, item by path
    exited:     called when the machine ended without being told to (a `shutdown` typed in it)
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
        """The folder that outlives stop and start, and that an image is made of. Not there before `start`."""

    def start(self, boot: Boot) -> int:
        """Start it and return the port on which SSH answers, or will answer within seconds."""

    def stop(self) -> None:
        """End everything that runs in it; the disk stays. Returns when it is so. Idempotent."""

    def destroy(self) -> None:
        """Stop it and remove its disk. Idempotent, and valid for a machine that an earlier daemon started."""

    def alive(self) -> bool:
        """Whether it runs: False before `start`, after `stop`, and once it has shut itself down."""

    def console(self) -> bytes:
        """What it wrote to its console, the last 64 KiB (EC2's GetConsoleOutput)."""

    def cut(self, cut: bool) -> None:
        """Take its network away, or give it back: for tests. The machine itself goes on."""


MachineKind = Callable[[str, Path], Machine]
"""(instance id, the machine's own folder) -> Machine."""
