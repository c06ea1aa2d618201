"""Carry out the steps that only write a tag: notes for the next command, and what the box has cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from gpu_box.aws import tags
from gpu_box.aws.client import Cloud
from gpu_box.aws.console import read_console_record
from gpu_box.aws.steps.work import Work
from gpu_box.model import spending
from gpu_box.plan.steps import CountSession, NoteBake, NoteExtend, NoteLimits, NoteMoved, NoteResize


def note_resize(step: NoteResize, work: Work) -> None:
    tags.tag_instance(work.cloud, step.instance_id, {tags.RESIZING: step.type}, "noting the resize")


def note_extend(step: NoteExtend, work: Work) -> None:
    value = " ".join(at.isoformat(timespec="seconds") for at in step.moving or ())
    tags.tag_instance(
        work.cloud, step.instance_id, {tags.EXTENDING: value}, "noting where the deadline moves"
    )


def note_limits(step: NoteLimits, work: Work) -> None:
    tags.tag_instance(work.cloud, step.instance_id, {tags.LIMITS: step.value}, "noting the limits")
    work.know_instance(step.instance_id, limits=step.value)


def note_bake(step: NoteBake, work: Work) -> None:
    value = "yes" if step.on else ""
    tags.tag_instance(work.cloud, step.instance_id, {tags.BAKING: value}, "noting that it is baked")


def note_moved(step: NoteMoved, work: Work) -> None:
    tags.tag_instance(work.cloud, step.instance_id, {tags.MOVED_FROM: ""}, "noting that it has moved")


def count_session(step: CountSession, work: Work) -> str:
    ended = step.ended or _session_end(work.cloud, step)
    days = spending.added(
        dict(step.before), spending.session_days(step.launched, ended, step.usd_hour or Decimal(0))
    )
    values = {tags.USD_MONTH + month: value for month, value in spending.to_tags(days).items()}
    values[tags.COUNTED] = step.launched.isoformat(timespec="seconds")
    tags.tag_instance(work.cloud, step.instance_id, values, "noting what the last session cost")
    spent = spending.from_tags(spending.to_tags(days).items())
    work.know_instance(step.instance_id, spent=tuple(sorted(spent.items())), spent_until=step.launched)
    return f"{step.title}: {(ended - step.launched).total_seconds() / 3600:.1f} h noted"


def _session_end(cloud: Cloud, step: CountSession) -> datetime:
    """When the session ended: as the console shows; if it shows nothing, now or the deadline, if earlier."""
    left = read_console_record(cloud, step.instance_id)
    if left and left.at and left.at >= step.launched:
        return left.at
    now = datetime.now(UTC)
    return min(now, step.deadline) if step.deadline and step.deadline > step.launched else now
