"""A deadline whose new role AWS does not accept yet is armed while the machine is set up."""

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
    """Raises CloudError, with the instance stopped, if AWS does not accept the role in time (`deadline.arm`).

    observed: as `up` left it; nothing happens unless its deadline is late. Ctrl-C does not wait for AWS.
    """
    if not observed.deadline_late or observed.deadline is None:
        yield
        return
    arming = _Arming(cloud, observed)
    report.start(_STEP, "deadline: AWS does not accept its new role yet; trying again beside the set-up")
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


def stop_unguarded(cloud: Cloud, report: Reporter, error: CloudError) -> None:
    """Stop the instance that AWS would not stop by itself. Raises CloudError once it is stopped."""
    halt(cloud, report)
    raise CloudError(
        f"{error.what}. So AWS would not stop the box at its deadline, and the instance was stopped",
        where=error.where,
        remedy="Run `gpu-box up` again in a few minutes: it goes on where it was.",
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
