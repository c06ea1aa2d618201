"""The record on a stopped box's console of why it stopped.

EC2 keeps the last 64 KiB for about an hour. By default it returns what it stored after a change of state, up
to 20 minutes late (github.com/canonical/pycloudlib/pull/193) and often without its end
(github.com/edgelesssys/constellation/pull/2926). `Latest` returns the current content, on Nitro only.
"""

from __future__ import annotations

from collections.abc import Callable

from gpu_box.aws import last_seen
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import translated
from gpu_box.errors import CloudError
from gpu_box.model.answer import read_object
from gpu_box.model.observed import Observed, Stopped
from gpu_box.model.stop_reason import parse_record

# As remote/watch/stop.py, guard.sh and the fuse in infra/user-data.yaml write it.
_RECORD = "gpu-box-stopped "


def observe_with_record(cloud: Cloud, read: Callable[[], Observed]) -> tuple[Observed, Stopped | None]:
    """The result of `read`, and the record of a box that does not run."""
    probably = last_seen.expected(cloud).instance_id  # if it is expected to be stopped
    observed, record = side_by_side(read, lambda: read_console_record(cloud, probably) if probably else None)
    instance = observed.instance
    if instance and not instance.state.bills and instance.id != probably:
        record = read_console_record(cloud, instance.id)
    return observed, record


def read_console_record(cloud: Cloud, instance_id: str) -> Stopped | None:
    """The last record; None if there is none or it cannot be read, because it is only a reason."""

    def read(*, latest: bool) -> str:
        try:
            with translated("reading the console"):
                output = cloud.ec2.get_console_output(InstanceId=instance_id, Latest=latest).get("Output")
        except CloudError:  # UnsupportedOperation for `Latest` on instances before Nitro
            return ""
        return output or ""

    current, stored = side_by_side(lambda: read(latest=True), lambda: read(latest=False))
    return find_record(current) or find_record(stored)


def find_record(console: str) -> Stopped | None:
    """The newest complete record; a kernel message inside a line spoils only that line."""
    for line in reversed(console.splitlines()):
        _, found, text = line.partition(_RECORD)
        if found:
            try:
                record = read_object(text)
            except ValueError:
                continue
            if stopped := parse_record(record):
                return stopped
    return None
