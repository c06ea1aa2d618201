"""PURE: refuse to enter a box of which something cannot be read, and say how to repair it."""

from __future__ import annotations

from gpu_box.errors import CloudError
from gpu_box.model.observed import Instance


def require_readable(box: str, instance: Instance) -> None:
    """Raise CloudError if a tag or the state that it takes to enter the machine cannot be read."""
    for one in instance.unreadable:
        if one.entering:
            raise CloudError(f"box {box!r}: {one.what}", where=instance.id, remedy=one.remedy)


def unreadable_lines(box: str, instance: Instance) -> list[str]:
    return [f"{box} ({instance.id}): {one}" for one in instance.unreadable]
