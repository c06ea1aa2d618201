"""The boxes that this laptop has brought up and not taken down, without asking AWS."""

from __future__ import annotations

from gpu_box.machine import sshconfig


def names() -> list[str]:
    return sshconfig.known()
