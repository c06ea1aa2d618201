"""What goes wrong on a box by itself: a driver that the kernel has outgrown, a disk that is full."""

from __future__ import annotations

from typing import Any

from gpu_box.model.check import Check
from gpu_box.model.machine import Health
from gpu_box.units import format_bytes

# Below it apt, pip and a notebook's saving fail; below the other, some day soon. Of a small disk, a part.
_FULL_BYTES, _NEARLY_BYTES = 1 << 30, 5 << 30
_FULL_FILES = 0.005  # of the inodes, free
_MISMATCH = "Driver/library version mismatch"
_NO_MODULE = "couldn't communicate with the NVIDIA driver"


def parse_health(found: dict[str, Any]) -> Health:
    disk, card = found["disk"], found["card"]
    return Health(
        disk_bytes=int(disk["size"]),
        disk_free_bytes=int(disk["free"]),
        files=int(disk["files"]),
        files_free=int(disk["files_free"]),
        kernel=str(card["kernel"]),
        kernel_has_module=bool(card["module"]),
        tool_exit=None if card["exit"] is None else int(card["exit"]),
        tool_said=str(card["said"]),
    )


def check_disk(health: Health) -> Check:
    free = f"{format_bytes(health.disk_free_bytes)} of {format_bytes(health.disk_bytes)} free"
    who = "`gpu-box ssh -- du -xhd2` shows who has it; a larger `disk.size_gib` and `gpu-box up` give more."
    if health.disk_free_bytes < min(_FULL_BYTES, health.disk_bytes // 10):
        return Check(name="disk", ok=False, line=f"the disk is full: {free}", remedy=who)
    if health.files and health.files_free < health.files * _FULL_FILES:
        line = f"no file can be made: {health.files_free} of {health.files} inodes are free"
        remedy = "`gpu-box ssh -- du -xd2 --inodes` shows who has them."
        return Check(name="disk", ok=False, line=line, remedy=remedy)
    nearly = health.disk_free_bytes < min(_NEARLY_BYTES, health.disk_bytes // 5)
    return Check(name="disk", ok=True, line=free, remedy=who if nearly else "")


def check_driver(health: Health, *, card: str, state: str, line: str) -> Check:
    """card: "Tesla T4", "" for none. state, line: of set-up's step, which knows a card without a driver."""
    said = next((line.strip() for line in health.tool_said.splitlines() if line.strip()), "")
    if health.tool_exit == 0:
        return Check(name="driver", ok=True, line=f"{card or 'nvidia-smi'} answers, kernel {health.kernel}")
    if _MISMATCH in health.tool_said:
        return Check(
            name="driver",
            ok=False,
            line=f"the driver was updated under the running kernel ({_MISMATCH})",
            remedy="`gpu-box stop`, then `gpu-box up`: the new one is loaded at the start.",
        )
    if health.tool_exit is None:
        remedy = "" if state == "done" else "`gpu-box up` installs what is missing."
        return Check(name="driver", ok=state == "done", line=line, remedy=remedy)
    if _NO_MODULE in health.tool_said and not health.kernel_has_module:
        return Check(
            name="driver",
            ok=False,
            line=f"the running kernel {health.kernel} has no NVIDIA module: upgraded without the driver",
            remedy="`gpu-box up` builds it; or `gpu-box ssh -- sudo apt-get install --reinstall "
            f"linux-headers-{health.kernel}`, then `gpu-box stop` and `up`.",
        )
    return Check(
        name="driver",
        ok=False,
        line=f"nvidia-smi fails: {said or f'exit status {health.tool_exit}'}",
        remedy="`gpu-box stop`, then `gpu-box up`; if it fails again, `gpu-box ssh -- sudo dmesg`.",
    )
