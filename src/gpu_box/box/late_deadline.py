"""Arm a deadline during set-up if AWS does not accept its new role yet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gpu_box.aws import deadline
from gpu_box.aws.client import Cloud
from gpu_box.box.stop import halt
from gpu_box.errors import CloudError
from gpu_box.model.observed import Observed
from gpu_box.model.progress import Reporter

_STEP = "deadline"


@contextmanager
def armed_meanwhile(cloud: Cloud, observed: Observed, report: Reporter) -> Iterator[None]:
    """Stop the instance and raise CloudError if AWS does not accept the role in time (`deadline.arm`).

    observed: as `up` left it; nothing happens unless its deadline is late. Ctrl-C does not wait for AWS.
    """
    if not observed.deadline_late or observed.deadline is None:
        yield
        return
    arming = _Arming(cloud, observed)
    report.start(_STEP, "deadline: AWS does not accept its new role yet; trying again during set-up")
    arming.start()
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        arming.join()
        if arming.error:
            stop_unguarded(cloud, report, arming.error)
        raise
    arming.join()
    if arming.error:
        report.failed(_STEP, "deadline: AWS does not accept its role")
        stop_unguarded(cloud, report, arming.error)
    report.done(_STEP, f"deadline: AWS stops it at {observed.deadline.at.astimezone():%a %H:%M}")


def stop_unguarded(cloud: Cloud, report: Reporter, error: CloudError, *, remedy: str | None = None) -> None:
    """Stop an instance without a deadline in AWS. Raises CloudError once it is stopped.

    remedy: replaces the advice to try again.
    """
    halt(cloud, report)
    raise CloudError(
        f"{error.what}. AWS could not stop the box at its deadline, so the instance was stopped",
        where=error.where,
        remedy=remedy or "Run `gpu-box up` again in a few minutes to continue.",
    ) from error


class _Arming(threading.Thread):
    def __init__(self, cloud: Cloud, observed: Observed) -> None:
        super().__init__(name="deadline", daemon=True)
        self._cloud, self._observed = cloud, observed
        self.error: CloudError | None = None

    def run(self) -> None:
        late = self._observed.deadline
        assert late is not None
        try:
            deadline.arm(
                self._cloud, instance_id=late.instance_id, at=late.at, role_arn=late.role_arn, ready=True
            )
        except CloudError as error:
            self.error = error
