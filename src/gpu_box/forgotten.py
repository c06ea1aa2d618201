"""PURE: boxes that lie stopped, and bill their disk, for so long that somebody may have forgotten them."""

from __future__ import annotations

from datetime import datetime, timedelta

from gpu_box.model import Instance, InstanceState
from gpu_box.stopped import stopped_at


def lying(instance: Instance, now: datetime) -> timedelta | None:
    """For how long it has been stopped; None while it is not. now: aware.

    Of one that shut itself down EC2 does not tell when: then since its last start, which is a little earlier.
    """
    if instance.state is not InstanceState.STOPPED:
        return None
    return now - (stopped_at(instance.transition) or instance.launched)


def is_forgotten(instance: Instance, now: datetime, *, after: timedelta) -> bool:
    """after: limits.forgotten_after."""
    stopped_for = lying(instance, now)
    return stopped_for is not None and stopped_for > after
