"""A box's last known state on this laptop, which saves requests to AWS. It never decides what exists.

AWS's answers take precedence: if they disagree, everything is read.
"""

from __future__ import annotations

from gpu_box.aws.client import Cloud
from gpu_box.model.observed import ANYTHING, NOTHING, Expected, InstanceState, Observed
from gpu_box.store import last_seen

REMEMBER = True  # False: read every box as if this laptop had never seen it


def expected(cloud: Cloud) -> Expected:
    return last_seen.read(cloud.memory("last-seen")) if REMEMBER else ANYTHING


def note(cloud: Cloud, left: Expected) -> None:
    """Write ANYTHING before a change, so that after an interruption everything is read."""
    last_seen.note(cloud.memory("last-seen"), left)


def note_left(cloud: Cloud, seen: Observed) -> None:
    """seen: after a change, or after reading everything. Only stopped and removed boxes are recorded."""
    instance = seen.instance
    if last_seen.read(cloud.memory("last-seen")) == NOTHING:
        return  # this laptop has changed nothing of it, and reading leaves no file
    if seen.nothing_left and not seen.deadline_unread:
        note(cloud, NOTHING)
    elif instance and instance.state is InstanceState.STOPPED and seen.deadline_role_arn:
        note(cloud, Expected(state="stopped", instance_id=instance.id, role_arn=seen.deadline_role_arn))
