"""What breaks the promises, looked for in the embedded cloud itself, in all its regions, at every change.

Nothing of gpu-box reads it: an instance, a deadline or a group is here what the cloud has, not what `observe`
tells of it.
"""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.scheduler.models import scheduler_backends

from local_aws.ec2 import placement
from local_aws.ec2.extra import extra, now
from local_aws.scheduler.models import _moment

NAME = "gpu-box:name"
FUSE, DEADLINE = "fuse", "deadline"  # the layers that hold without a machine behind the instance
_BILLS = ("pending", "running")
_ENDED = ("shutting-down", "terminated")
# A new image is whole before those go that it replaces: the older one, and that of a bake that was cut.
_AT_MOST = {"image": 3, "snapshot": 3}


@dataclass
class Seconds:
    """For how long instances ran."""

    ran: float = 0.0
    fuse_alone: float = 0.0  # with no deadline at AWS: between a launch and its deadline, or where denied
    unguarded: float = 0.0  # with nothing that would stop them

    def __iadd__(self, other: Seconds) -> Seconds:
        self.ran += other.ran
        self.fuse_alone += other.fuse_alone
        self.unguarded += other.unguarded
        return self


@dataclass
class Watch:
    """denied: a deadline may not be armed, and the layers on the box hold alone."""

    defects: list[str] = field(default_factory=list)
    seconds: Seconds = field(default_factory=Seconds)
    denied: bool = False
    _running: dict[str, frozenset[str]] = field(default_factory=dict)  # instance id -> its layers
    _boots: dict[str, int] = field(default_factory=dict)
    _since: float = 0.0

    def begin(self) -> None:
        """Start a new scenario; the current state is accepted as it is."""
        self.defects, self.seconds, self.denied = [], Seconds(), False
        self._running, self._boots = {}, {i.id: extra(i).boots for _, i in _instances()}
        self._since = time.monotonic()
        self.look()

    def look(self) -> None:
        """At this change. The cloud's lock is held."""
        self._count_time()
        running = {i.id: _layers(region, i) for region, i in _instances() if i.state in _BILLS}
        for region, instance in _instances():
            boots = extra(instance).boots
            if boots > self._boots.setdefault(instance.id, 1):
                self._boots[instance.id] = boots
                if DEADLINE not in running.get(instance.id, frozenset()) and not self.denied:
                    self._tell(f"unguarded: {instance.id} in {region} was started before its deadline")
        for id_, layers in running.items():
            if not layers:
                self._tell(f"unguarded: {id_} runs, and nothing would stop it")
        self._running = running
        for (kind, name), count in Counter((kind, name) for kind, name, _ in there()).items():
            if count > _AT_MOST.get(kind, 1):
                self._tell(f"double: {count} times {kind} of {name}")

    def running(self) -> set[str]:
        """Ids of the instances that bill, at the last look."""
        return set(self._running)

    def without_deadline(self) -> set[str]:
        """Those of them that AWS would not stop."""
        return {id_ for id_, layers in self._running.items() if DEADLINE not in layers}

    def _count_time(self) -> None:
        moment = time.monotonic()
        passed, self._since = moment - self._since, moment
        for layers in self._running.values():
            self.seconds.ran += passed
            self.seconds.fuse_alone += passed * (layers == {FUSE})
            self.seconds.unguarded += passed * (not layers)

    def _tell(self, defect: str) -> None:
        if defect not in self.defects:
            self.defects.append(defect)


def there() -> Iterator[tuple[str, str, str]]:
    """(kind, of which box, id) of all that gpu-box made, in every region; without what is on its way out."""
    for _, region, ec2 in ec2_backends.iter_backends():
        tags = ec2.tags
        going = {i.id for i in ec2.all_instances() if i.state in _ENDED}
        found = [
            *(("instance", i.id) for i in ec2.all_instances() if i.id not in going),
            *(("volume", v.id) for v in ec2.volumes.values() if not _goes(v, going)),
            *(("security group", g.id) for of in ec2.groups.values() for g in of.values()),
            *(("key pair", pair.id) for pair in ec2.key_pairs.values()),
            *(("image", image.id) for image in ec2.amis.values()),
            *(("snapshot", snapshot.id) for snapshot in ec2.snapshots.values()),
            *(("placement group", group.id) for group in placement.all_of(ec2).values()),
            *(
                ("spot request", request.id)
                for request in ec2.spot_instance_requests.values()
                if request.state in ("open", "active", "disabled")
            ),
            *(("address", address.allocation_id) for address in ec2.addresses),
        ]
        for kind, id_ in found:
            if name := tags.get(id_, {}).get(NAME):
                yield kind, name, f"{id_} in {region}"
    for _, region, scheduler in scheduler_backends.iter_backends():
        for group in scheduler.schedule_groups.values():
            for name in group.schedules:
                if name.startswith("gpu-box-"):
                    yield "deadline", name, f"{name} in {region}"
    for _, _, iam in iam_backends.iter_backends():
        for role in iam.roles.values():
            if role.name.startswith("gpu-box-"):
                yield "role", role.name, role.name


def _goes(volume: Any, going: set[str]) -> bool:
    attachment = volume.attachment
    return attachment is not None and attachment.instance.id in going


def _instances() -> Iterator[tuple[str, Any]]:
    for _, region, ec2 in ec2_backends.iter_backends():
        for instance in ec2.all_instances():
            if NAME in ec2.tags.get(instance.id, {}):
                yield region, instance


def _layers(region: str, instance: Any) -> frozenset[str]:
    """The fuse burns where user data lights it at the first boot line, and a shutdown ends the meter."""
    layers = set()
    if _lights_the_fuse(str(instance.user_data)) and instance.instance_initiated_shutdown_behavior == "stop":
        layers.add(FUSE)
    for _, at, scheduler in scheduler_backends.iter_backends():
        if at == region and any(_stops(scheduler, armed, instance.id) for armed in scheduler._armed()):
            layers.add(DEADLINE)
    return frozenset(layers)


@cache
def _lights_the_fuse(user_data: str) -> bool:
    return b"gpu-box-fuse.timer" in base64.b64decode(user_data)


def _stops(scheduler: Any, armed: Any, instance_id: str) -> bool:
    """In the future, this instance, and by a role that may."""
    if instance_id not in json.loads(armed.target["Input"])["InstanceIds"]:
        return False
    if _moment(armed) <= now():
        return False
    try:
        scheduler._require_permission(armed.target["RoleArn"], instance_id)
    except Exception:
        return False
    return True
