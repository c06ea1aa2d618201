"""PURE: refuse a box with an unreadable tag or state, and say how to repair it."""

from __future__ import annotations

from gpu_box.errors import CloudError
from gpu_box.model.observed import Instance, InstanceState


def require_readable(box: str, instance: Instance) -> None:
    """Raise CloudError if a tag or state that is needed to enter the machine cannot be read."""
    for one in instance.unreadable:
        if one.entering:
            raise CloudError(f"box {box!r}: {one.what}", where=instance.id, remedy=one.remedy)


def require_known_state(instance: Instance) -> None:
    """Raise CloudError for a state that decides what a command does, and that this gpu-box does not know."""
    if instance.state is InstanceState.UNKNOWN:
        raise CloudError(
            "EC2 reports a state that this gpu-box does not know: nothing was changed",
            where=instance.id,
            remedy="`gpu-box stop` and `down` still work; check for a newer gpu-box.",
        )


def unreadable_lines(box: str, instance: Instance) -> list[str]:
    return [f"{box} ({instance.id}): {one}" for one in instance.unreadable]
