"""Checks for what goes wrong on a box over time: a driver older than the kernel, a full disk."""

from __future__ import annotations

from gpu_box.model.answer import Fields
from gpu_box.model.check import Check
from gpu_box.model.machine import Health
from gpu_box.units import format_bytes

# Below the first, apt, pip and saving a notebook fail; below the second they soon will.
_FULL_BYTES, _NEARLY_BYTES = 1 << 30, 5 << 30
_FULL_FILES = 0.005  # share of inodes that are free
_MISMATCH = "Driver/library version mismatch"
_NO_MODULE = "couldn't communicate with the NVIDIA driver"


def parse_health(found: Fields) -> Health:
    """Raises Malformed."""
    disk, card = found.inside("disk"), found.inside("card")
    return Health(
        disk_bytes=disk.whole("size"),
        disk_free_bytes=disk.whole("free"),
        files=disk.whole("files"),
        files_free=disk.whole("files_free"),
        kernel=card.text("kernel"),
        kernel_has_module=card.flag("module"),
        tool_exit=None if not card.has("exit") else int(card.number("exit", least=-255, most=255)),
        tool_said=card.text("said", "", lines=True),
    )


def check_disk(health: Health) -> Check:
    free = f"{format_bytes(health.disk_free_bytes)} of {format_bytes(health.disk_bytes)} free"
    who = "`gpu-box ssh -- du -xhd2` shows what uses it. Raise `disk.size_gib` and run `gpu-box up` for more."
    if health.disk_free_bytes < min(_FULL_BYTES, health.disk_bytes // 10):
        return Check(name="disk", ok=False, line=f"the disk is full: {free}", remedy=who)
    if health.files and health.files_free < health.files * _FULL_FILES:
        line = f"no file can be created: {health.files_free} of {health.files} inodes are free"
        remedy = "`gpu-box ssh -- du -xd2 --inodes` shows what uses them."
        return Check(name="disk", ok=False, line=line, remedy=remedy)
    nearly = health.disk_free_bytes < min(_NEARLY_BYTES, health.disk_bytes // 5)
    return Check(name="disk", ok=True, line=free, remedy=who if nearly else "")


def check_driver(health: Health, *, card: str, state: str, line: str) -> Check:
    """card: "Tesla T4", or "". state, line: of the set-up step, which detects a card without a driver."""
    said = next((line.strip() for line in health.tool_said.splitlines() if line.strip()), "")
    if health.tool_exit == 0:
        return Check(name="driver", ok=True, line=f"{card or 'nvidia-smi'} answers, kernel {health.kernel}")
    if _MISMATCH in health.tool_said:
        return Check(
            name="driver",
            ok=False,
            line=f"the driver was updated while the old one is loaded ({_MISMATCH})",
            remedy="`gpu-box stop`, then `gpu-box up`: the new one is loaded at boot.",
        )
    if health.tool_exit is None:
        remedy = "" if state == "done" else "`gpu-box up` installs what is missing."
        return Check(name="driver", ok=state == "done", line=line, remedy=remedy)
    if _NO_MODULE in health.tool_said and not health.kernel_has_module:
        return Check(
            name="driver",
            ok=False,
            line=f"the running kernel {health.kernel} has no NVIDIA module: it was upgraded without it",
            remedy="`gpu-box up` builds it; or `gpu-box ssh -- sudo apt-get install --reinstall "
            f"linux-headers-{health.kernel}`, then `gpu-box stop` and `up`.",
        )
    return Check(
        name="driver",
        ok=False,
        line=f"nvidia-smi fails: {said or f'exit status {health.tool_exit}'}",
        remedy="`gpu-box stop`, then `gpu-box up`; if it fails again, `gpu-box ssh -- sudo dmesg`.",
    )
