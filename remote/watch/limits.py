"""The time and money limits: max_hours, a deadline, a time of day. They stop a box that works, too."""

import os
import time
from typing import Tuple

from .policy import Policy, clock
from .sample import Sample

NAMES = {"max_hours": "it ran for its max_hours", "deadline": "its deadline", "stop_at": "its stop_at"}
OWN_ZONE = os.environ.get("TZ")


def nearest(sample: Sample, born: Tuple[float, float], policy: Policy) -> Tuple[str, float]:
    """(which limit comes first, s until then; infinity without one).

    A clock that is set forward must not stop a box: what the wall clock says counts only as far as the time
    that really passed since boot agrees (born: wall clock and s since boot at the boot's first sample).
    """
    boot_wall = born[0] - born[1]
    now = min(sample.wall, boot_wall + sample.up)
    # The deadline is all limits in one, worked out by whoever started or extended this session, and so the
    # only one. One that ends with this boot's first minutes is an earlier session's, and nobody has replaced
    # it yet: then the box goes by its own limits.
    if policy.deadline is not None and policy.deadline > boot_wall + policy.settle:
        return "deadline", policy.deadline - now
    found = [("idle", float("inf"))]
    if policy.max_hours is not None:
        found.append(("max_hours", policy.max_hours * 3600 - sample.up))
    if policy.stop_at is not None:
        found.append(("stop_at", _next(policy.stop_at, boot_wall + policy.settle) - now))
    return min(found, key=lambda item: item[1])


def text(cause: str, policy: Policy) -> str:
    """Why, for a person."""
    detail = {
        "max_hours": "%g h" % (policy.max_hours or 0),
        "deadline": hhmm(policy.deadline or 0),
        "stop_at": policy.stop_at,
    }
    return "%s (%s)" % (NAMES[cause], detail[cause])


def use_zone(policy: Policy) -> None:
    """Read and show times of day in the policy's time zone from now on; without one, in the machine's own."""
    zone = policy.tz or OWN_ZONE
    os.environ.pop("TZ", None)
    if zone:
        os.environ["TZ"] = zone
    time.tzset()


def hhmm(wall: float) -> str:
    return time.strftime("%H:%M", time.localtime(wall))


def _next(time_of_day: str, after: float) -> float:
    """The first time the clock shows this after a moment; daylight saving is the C library's business."""
    hour, minute = clock(time_of_day)
    day = time.localtime(after)
    for days in (0, 1):
        at = time.mktime((day.tm_year, day.tm_mon, day.tm_mday + days, hour, minute, 0, 0, 0, -1))
        if at > after:
            return at
    return at
