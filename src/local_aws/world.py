"""The whole cloud: every region's instances and schedules, behind one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.ec2.models import ec2_backends
from moto.scheduler.models import scheduler_backends

from local_aws.ec2 import images
from local_aws.ec2.extra import extra
from local_aws.ec2.lifecycle import PORT_TAG


class World:
    """lock: held while anything of the cloud is read or changed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_held: Callable[[str, str], bool] = lambda instance_id, state: False
        self.machines_up: Callable[[], int] = lambda: 0
        self.cut_network: Callable[[str, bool], None] = lambda instance_id, cut: None

    def settle(self) -> bool:
        """Do everything that is due. Returns whether anything changed."""
        fired = [scheduler.fire_due() for _, _, scheduler in scheduler_backends.iter_backends()]
        settled = [ec2.settle(self.is_held) for _, _, ec2 in ec2_backends.iter_backends()]
        return any(fired) or any(settled)

    def next_due(self) -> datetime | None:
        """When `settle` will next have something to do, aware UTC."""
        moments = [m for _, _, backend in _timed() for m in backend.next_due()]
        return min(moments, default=None)

    def instances(self) -> Iterator[Any]:
        for _, _, ec2 in ec2_backends.iter_backends():
            yield from ec2.all_instances()

    def instance(self, instance_id: str) -> Any:
        """Raises KeyError."""
        for instance in self.instances():
            if instance.id == instance_id:
                return instance
        raise KeyError(f"no instance {instance_id}")

    def boxes(self) -> int:
        return sum(i.state not in ("shutting-down", "terminated") for i in self.instances())

    def images_to_copy(self) -> list[Any]:
        return [i for _, _, ec2 in ec2_backends.iter_backends() for i in images.to_copy(ec2)]

    def empty(self) -> None:
        BackendDict.reset()
        reset_model_data()

    def image_ids(self) -> set[str]:
        return {id_ for _, _, ec2 in ec2_backends.iter_backends() for id_ in ec2.amis}

    def publish_port(self, instance_id: str, port: int) -> None:
        instance = self.instance(instance_id)
        extra(instance).port = port
        instance.ec2_backend.create_tags([instance_id], {PORT_TAG: str(port)})


def _timed() -> Iterator[tuple[str, str, Any]]:
    yield from scheduler_backends.iter_backends()
    yield from ec2_backends.iter_backends()
