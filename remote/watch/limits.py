"""The time and money limits: max_hours, deadline, stop_at. They stop a busy box too."""

import os
import time
from typing import Tuple

from .policy import Policy, clock
from .sample import Sample

NAMES = {"max_hours": "it ran for its max_hours", "deadline": "its deadline", "stop_at": "its stop_at"}
OWN_ZONE = os.environ.get("TZ")


def nearest(sample: Sample, born: Tuple[float, float], policy: Policy) -> Tuple[str, float]:
    """The limit that comes first and the seconds until then: ("max_hours", 812.0), or infinity without one.

    born: Unix time and s since boot at the boot's first sample. The time passed since then bounds the wall
    clock, so that a clock set forward does not stop the box.
    """
    boot_wall = born[0] - born[1]
    now = min(sample.wall, boot_wall + sample.up)
    # `up` and `extend` work all limits into one deadline, which replaces the others. A deadline in the first
    # minutes of this boot belongs to an earlier session: then the other limits apply.
    if policy.deadline is not None and policy.deadline > boot_wall + policy.settle:
        return "deadline", policy.deadline - now
    found = [("idle", float("inf"))]
    if policy.max_hours is not None:
        found.append(("max_hours", policy.max_hours * 3600 - sample.up))
    if policy.stop_at is not None:
        found.append(("stop_at", _next(policy.stop_at, boot_wall + policy.settle) - now))
    return min(found, key=lambda item: item[1])


def text(cause: str, policy: Policy) -> str:
    """The reason to display."""
    detail = {
        "max_hours": "%g h" % (policy.max_hours or 0),
        "deadline": hhmm(policy.deadline or 0),
        "stop_at": policy.stop_at,
    }
    return "%s (%s)" % (NAMES[cause], detail[cause])


def use_zone(policy: Policy) -> None:
    """Set the process's time zone to the policy's; without one, to the machine's."""
    zone = policy.tz or OWN_ZONE
    os.environ.pop("TZ", None)
    if zone:
        os.environ["TZ"] = zone
    time.tzset()


def hhmm(wall: float) -> str:
    return time.strftime("%H:%M", time.localtime(wall))


def _next(time_of_day: str, after: float) -> float:
    """The first Unix time after `after` at which the local clock shows "HH:MM"; handles daylight saving."""
    hour, minute = clock(time_of_day)
    day = time.localtime(after)
    for days in (0, 1):
        at = time.mktime((day.tm_year, day.tm_mon, day.tm_mday + days, hour, minute, 0, 0, 0, -1))
        if at > after:
            return at
    return at
