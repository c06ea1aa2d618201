"""Spot interruptions: AWS gives notice, interrupts the instance, and restarts it when there is capacity.

    running -- notice (weather: spot_notice_s) --> stopping -> stopped -- capacity again --> pending ...

That holds for a persistent request with the behaviour `stop`; any other instance is terminated. An instance
that its user stops within the notice, by a call or from inside, stays stopped (EC2 User
Guide, "Behavior of Spot Instance interruptions" and "State changes for a Spot request").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from local_aws.ec2 import capacity, lifecycle, spot
from local_aws.ec2.extra import extra, now
from local_aws.faults import weather

_UP = ("pending", "running")


def give_notice(backend: Any, instance: Any) -> None:
    """Give an interruption notice, once; it is never withdrawn. ValueError if it is no spot instance."""
    if instance.lifecycle != "spot":
        raise ValueError(f"{instance.id} is no spot instance")
    mark = extra(instance)
    if mark.noticed is None and instance.state in _UP:
        mark.noticed = now()
        mark.taken = mark.noticed + timedelta(seconds=weather().spot_notice_s)
        spot.marked(backend, instance)


def settle(backend: Any) -> bool:
    """Give due notices, interrupt and restart due instances. Returns whether anything changed."""
    changed = False
    for instance in list(_beyond_capacity(backend)):
        give_notice(backend, instance)
        changed = True
    for instance, taken in _noticed(backend):
        if taken <= now():
            lifecycle.interrupt(backend, instance)
            changed = True
    for request in spot.to_restart(backend):
        changed |= _restart(backend, request)
    return changed


def next_due(backend: Any) -> Iterable[datetime]:
    return (taken for _, taken in _noticed(backend))


def action_of(backend: Any, instance: Any) -> str:
    """The effect of an interruption on the instance, as the instance metadata name it."""
    return "stop" if spot.survives(backend, instance) else "terminate"


def _beyond_capacity(backend: Any) -> Iterator[Any]:
    """The running spot instances without a notice that exceed their zone's capacity."""
    pools: dict[tuple[str, str], list[Any]] = {}
    for instance in backend.all_instances():
        if instance.lifecycle == "spot" and instance.state in _UP:
            pools.setdefault((instance.instance_type, instance.placement.zone), []).append(instance)
    for (instance_type, zone), instances in pools.items():
        left = capacity.room(backend, instance_type, zone, spot=True)
        if left is not None and left < 0:
            noticed = [i for i in instances if extra(i).noticed is not None]
            others = [i for i in instances if extra(i).noticed is None]
            yield from others[: max(0, -left - len(noticed))]


def _noticed(backend: Any) -> list[tuple[Any, datetime]]:
    """The instances with a notice, and when each is interrupted."""
    up = [i for i in backend.all_instances() if i.state in _UP]
    return [(i, taken) for i in up if (taken := extra(i).taken) is not None]


def _restart(backend: Any, request: Any) -> bool:
    """Restart it: "Only Amazon EC2 can restart an interrupted stopped Spot Instance"."""
    instance = request.instance
    if not capacity.has_capacity(backend, instance.instance_type, instance.placement.zone, 1, spot=True):
        request.wait()
        return False
    lifecycle.restart(backend, instance)
    return True
