"""~/scratch on the box's local NVMe, which a stop erases. The box's side is remote/scratch."""

from __future__ import annotations

from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import remote_module


def lost(connection: Connection) -> int:
    """Bytes that a stop would erase; 0 if unknown."""
    result = connection.run(remote_module("watch", "scratch"), check=False)
    last = (result.stdout.splitlines() or [""])[-1]
    return int(last) if result.exit_status == 0 and last.isdecimal() and len(last) < 20 else 0
