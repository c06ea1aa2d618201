"""How this laptop last left a box, so that less is asked of AWS. It never decides what exists.

AWS's word counts: what it tells against this is believed, and the rest is asked then.
"""

from __future__ import annotations

from gpu_box.aws.client import Cloud
from gpu_box.model.observed import ANYTHING, NOTHING, Expected, InstanceState, Observed
from gpu_box.store import last_seen

REMEMBER = True  # False: every box is asked for as if this laptop had never seen it


def expected(cloud: Cloud) -> Expected:
    return last_seen.read(cloud.memory("last-seen")) if REMEMBER else ANYTHING


def note(cloud: Cloud, left: Expected) -> None:
    """ANYTHING before anything is changed: a command that is cut is followed by one that asks for all."""
    last_seen.note(cloud.memory("last-seen"), left)


def note_left(cloud: Cloud, seen: Observed) -> None:
    """seen: after a change, or all there is. Only what is stopped or gone is worth remembering."""
    instance = seen.instance
    if last_seen.read(cloud.memory("last-seen")) == NOTHING:
        return  # this laptop has changed nothing of it, and looking leaves no file
    if seen.nothing_left and not seen.deadline_unread:
        note(cloud, NOTHING)
    elif instance and instance.state is InstanceState.STOPPED and seen.deadline_role_arn:
        note(cloud, Expected(state="stopped", instance_id=instance.id, role_arn=seen.deadline_role_arn))
