"""Carry out a plan: the steps of one stage in parallel, stages one after another.

Every step can be run again after a crash, or by another laptop at the same time: creates are idempotent by
name or ClientToken, deleting a missing resource succeeds, and a surprise ends the round (`Raced`), so that
the caller observes again. AWS's answers count as observed: if they include every change of a round, the
caller need not read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from gpu_box.aws import last_seen
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.steps import deadline, disk, image, instance, network, notes
from gpu_box.aws.steps.work import Raced, Work
from gpu_box.model.observed import ANYTHING, Observed
from gpu_box.model.progress import Reporter
from gpu_box.plan import notes as n
from gpu_box.plan import steps as s

_RACED_S = 1.0
# Each takes its step and the round's Work, and may return a line to replace the step's own.
_HANDLERS: Mapping[type[s.Step], Callable[[Any, Work], str | None]] = {
    s.ImportKeyPair: network.import_key_pair,
    s.ReplaceKeyPair: network.replace_key_pair,
    s.DeleteKeyPair: network.delete_key_pair,
    s.CreateSecurityGroup: network.create_security_group,
    s.AllowSsh: network.allow_ssh,
    s.RemoveForeignRules: network.remove_foreign_rules,
    s.DeleteSecurityGroup: network.delete_security_group,
    s.RunInstance: instance.run_instance,
    s.StartInstance: instance.start_instance,
    s.StopInstance: instance.stop_instance,
    s.ChangeType: instance.change_type,
    s.WaitForInstance: instance.wait_for_instance,
    n.TagAgain: instance.tag_again,
    s.Terminate: instance.terminate,
    s.CancelSpotRequest: instance.cancel_spot_request,
    s.CreateDeadlineRole: deadline.create_deadline_role,
    s.ArmDeadline: deadline.arm_deadline,
    s.DeleteDeadline: deadline.delete_deadline,
    s.DeleteDeadlineRole: deadline.delete_deadline_role,
    s.GrowDisk: disk.grow_disk,
    s.DeleteVolume: disk.delete_volume,
    s.CreateImage: image.create_image,
    s.WaitForImage: image.wait_for_image,
    s.DeregisterImage: image.deregister_image,
    s.DeleteSnapshot: image.delete_snapshot,
    n.NoteResize: notes.note_resize,
    n.NoteExtend: notes.note_extend,
    n.NoteLimits: notes.note_limits,
    n.NoteBake: notes.note_bake,
    n.NoteMoved: notes.note_moved,
    n.CountSession: notes.count_session,
    n.CorrectSession: notes.correct_session,
}
# For these, the request and AWS's answer include everything that they change.
_ANSWERED = (
    s.ImportKeyPair,
    s.CreateSecurityGroup,
    s.AllowSsh,
    s.CreateDeadlineRole,
    s.RunInstance,
    s.ArmDeadline,
    n.CountSession,
    n.CorrectSession,
    n.NoteLimits,
    s.StartInstance,
    s.StopInstance,
    s.WaitForInstance,
)


def act(cloud: Cloud, steps: Sequence[s.Step], report: Reporter, observed: Observed) -> tuple[Observed, bool]:
    """Carry out the steps. Returns the new state by AWS's answers, and whether it includes every change.

    observed: the state that the steps were planned from. Raises CloudError if AWS refuses; a race with
    another `up` ends the round quietly.
    """
    work = Work(cloud, report, observed)
    last_seen.note(cloud, ANYTHING)
    ordered = sorted(steps, key=lambda step: step.stage)
    try:
        for _, stage in groupby(ordered, key=lambda step: step.stage):
            side_by_side(*(partial(_reported, work, step) for step in stage))
    except Raced as raced:
        report.note(f"{raced}; observing again")
        # AWS may also show the other one's changes late.
        time.sleep(_RACED_S)
        work.whole = False
    finally:
        cloud.made.add(cloud.box, observed, work.observed)
    if work.whole:
        last_seen.note_left(cloud, work.observed)
    return work.observed, work.whole


def _reported(work: Work, step: s.Step) -> None:
    work.report.start(step.title, str(step))
    try:
        line = _HANDLERS[type(step)](step, work)
    except Exception:
        work.report.failed(step.title, str(step))
        raise
    if not isinstance(step, _ANSWERED):
        work.whole = False
    work.report.done(step.title, line or str(step))
