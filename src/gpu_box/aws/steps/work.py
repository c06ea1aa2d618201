"""State and calls shared by the steps of a round."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws.client import Cloud
from gpu_box.aws.deletion import GONE, named
from gpu_box.aws.errors import code_of, translated
from gpu_box.model.observed import Instance, Observed
from gpu_box.model.progress import Reporter

POLL_FIRST_S = 0.25


class Raced(Exception):
    """AWS's state has changed since the step was planned: observe again."""


@dataclass
class Work:
    """The observed state, updated with AWS's answers while steps run in parallel."""

    cloud: Cloud
    report: Reporter
    observed: Observed
    whole: bool = True  # whether `observed` includes every change of this round
    lock: threading.Lock = field(default_factory=threading.Lock)

    def know(self, **changes: Any) -> None:
        with self.lock:
            self.observed = replace(self.observed, **changes)

    def know_instance(self, instance_id: str, **changes: Any) -> None:
        for instance in self.observed.instances:
            if instance.id == instance_id:
                self.see(replace(instance, **changes))

    def see(self, instance: Instance) -> None:
        """Replace the known instance of this id, or add it."""
        with self.lock:
            others = (known for known in self.observed.instances if known.id != instance.id)
            self.observed = replace(self.observed, instances=(*others, instance))


def delete(work: Work, doing: str, operation: str, **arguments: Any) -> None:
    """Call a delete operation of EC2; a missing resource is fine."""
    with translated(doing):
        call: Callable[..., Any] = getattr(work.cloud.ec2, operation)
        try:
            call(**arguments)
        except ClientError as error:
            if not code_of(error).endswith(GONE):
                raise
    work.cloud.made.forget(named(arguments))


def race_if(error: ClientError, code: str, line: str) -> None:
    """Raise Raced(line) for AWS's error `code`, otherwise the error itself."""
    if code_of(error) == code:
        raise Raced(line) from error
    raise error
