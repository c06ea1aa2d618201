"""Spot interruptions: AWS wants the capacity back, says so, takes it, and gives it back by itself.

    running -- notice (weather: spot_notice_s) --> stopping -> stopped -- capacity again --> pending ...

That is a persistent request with the behaviour `stop`; any other instance is terminated. What stops within
the notice by a user's call or by a shutdown from inside was stopped by its user, and stays so (EC2 User
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
    """Once; it is not taken back, whatever the weather does. ValueError for what is no spot instance."""
    if instance.lifecycle != "spot":
        raise ValueError(f"{instance.id} is no spot instance")
    mark = extra(instance)
    if mark.noticed is None and instance.state in _UP:
        mark.noticed = now()
        mark.taken = mark.noticed + timedelta(seconds=weather().spot_notice_s)
        spot.marked(backend, instance)


def settle(backend: Any) -> bool:
    """Notices where capacity went, interruptions that are due, starts where it came back. Whether any."""
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
    """What an interruption does to it, in the words of the instance metadata."""
    return "stop" if spot.survives(backend, instance) else "terminate"


def _beyond_capacity(backend: Any) -> Iterator[Any]:
    """The running spot instances, without a notice yet, that are more than their zone now has."""
    pools: dict[tuple[str, str], list[Any]] = {}
    for instance in backend.all_instances():
        if instance.lifecycle == "spot" and instance.state in _UP:
            pools.setdefault((instance.instance_type, instance.placement.zone), []).append(instance)
    for (instance_type, zone), instances in pools.items():
        left = capacity.room(backend, instance_type, zone, spot=True)
        if left is not None and left < 0:
            told = [i for i in instances if extra(i).noticed is not None]
            untold = [i for i in instances if extra(i).noticed is None]
            yield from untold[: max(0, -left - len(told))]


def _noticed(backend: Any) -> list[tuple[Any, datetime]]:
    """With the moments at which they are taken."""
    up = [i for i in backend.all_instances() if i.state in _UP]
    return [(i, taken) for i in up if (taken := extra(i).taken) is not None]


def _restart(backend: Any, request: Any) -> bool:
    """ "Only Amazon EC2 can restart an interrupted stopped Spot Instance": and it does, unasked."""
    instance = request.instance
    if not capacity.has_capacity(backend, instance.instance_type, instance.placement.zone, 1, spot=True):
        request.wait()
        return False
    lifecycle.restart(backend, instance)
    return True
