"""A machine's control group, in every hierarchy that systemd uses; it holds all the machine's processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_GIVE_UP_S = 10.0
_POLL_S = 0.02


class Cgroup:
    def __init__(self, name: str) -> None:
        self._paths = [hierarchy / name for hierarchy in _hierarchies()]

    def create(self) -> list[Path]:
        """Returns the `cgroup.procs` files; a process joins the group by writing its pid to them."""
        self.kill()
        for path in self._paths:
            path.mkdir(exist_ok=True)
        return [path / "cgroup.procs" for path in self._paths]

    def kill(self) -> None:
        """Kill every process in it and remove it. Idempotent."""
        give_up = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < give_up:
            members = list(self._members())
            if not members:
                break
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_POLL_S)
        for path in self._paths:
            for child, _, _ in os.walk(path, topdown=False):
                with suppress(OSError):
                    os.rmdir(child)

    def _members(self) -> Iterator[int]:
        for path in self._paths:
            # Groups may vanish during the walk: os.walk accepts that, pathlib's glob raises.
            for group, _, _ in os.walk(path):
                with suppress(OSError):
                    procs = Path(group, "cgroup.procs").read_text()
                    yield from (int(line) for line in procs.split() if line != "0")


def _hierarchies() -> list[Path]:
    """cgroup v2 alone, or v1's "systemd" hierarchy and, beside it, v2's "unified" one."""
    if (_MOUNT / "cgroup.procs").exists():
        return [_MOUNT]
    return [path for path in (_MOUNT / "systemd", _MOUNT / "unified") if (path / "cgroup.procs").exists()]
