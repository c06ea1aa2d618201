"""Carry out the steps that only write tags: notes for the next command, and costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gpu_box.aws import tags
from gpu_box.aws.client import Cloud
from gpu_box.aws.console import read_console_record
from gpu_box.aws.steps.work import Work
from gpu_box.model import spending
from gpu_box.model.observed import Guess, Stopped
from gpu_box.model.stop_reason import SessionEnd, session_end
from gpu_box.plan.notes import (
    CorrectSession,
    CountSession,
    NoteBake,
    NoteExtend,
    NoteLimits,
    NoteMoved,
    NoteResize,
)


def note_resize(step: NoteResize, work: Work) -> None:
    tags.tag_instance(work.cloud, step.instance_id, {tags.RESIZING: step.type}, "recording the resize")


def note_extend(step: NoteExtend, work: Work) -> None:
    value = " ".join(at.isoformat(timespec="seconds") for at in step.moving or ())
    tags.tag_instance(work.cloud, step.instance_id, {tags.EXTENDING: value}, "recording the deadline's move")


def note_limits(step: NoteLimits, work: Work) -> None:
    tags.tag_instance(work.cloud, step.instance_id, {tags.LIMITS: step.value}, "recording the limits")
    work.know_instance(step.instance_id, limits=step.value)


def note_bake(step: NoteBake, work: Work) -> None:
    value = "yes" if step.on else ""
    tags.tag_instance(work.cloud, step.instance_id, {tags.BAKING: value}, "recording the bake")


def note_moved(step: NoteMoved, work: Work) -> None:
    tags.tag_instance(work.cloud, step.instance_id, {tags.MOVED_FROM: ""}, "recording the move")


def count_session(step: CountSession, work: Work) -> str:
    ended = _session_end(work.cloud, step)
    at = ended.at if not ended.at.microsecond else ended.at.replace(microsecond=0) + timedelta(seconds=1)
    usd_hour = step.usd_hour or Decimal(0)
    days = spending.added(dict(step.before), spending.session_days(step.launched, at, usd_hour))
    values = {tags.COUNTED: _text(step.launched)}
    known: dict[str, Any] = {"spent_until": step.launched}
    if ended.guessed:
        guess = Guess(launched=step.launched, until=at, usd_hour=usd_hour)
        values[tags.GUESSED] = f"{_text(guess.launched)} {_text(guess.until)} {usd_hour}"
        known["guess"] = guess
    _note_spent(work, step.instance_id, days, values, known)
    line = f"{step.title}: {(at - step.launched).total_seconds() / 3600:.1f} h recorded"
    return f"{line} at most, until the box reports when it stopped" if ended.guessed else line


def correct_session(step: CorrectSession, work: Work) -> None:
    guess = step.guess
    counted = spending.session_days(guess.launched, guess.until, guess.usd_hour)
    actual = spending.session_days(guess.launched, step.ended, guess.usd_hour)
    days = spending.corrected(dict(step.before), counted, actual)
    _note_spent(work, step.instance_id, days, {tags.GUESSED: ""}, {"guess": None})


def _note_spent(
    work: Work, instance_id: str, days: spending.Days, values: dict[str, str], known: dict[str, Any]
) -> None:
    """Write the days and `values` in one call, so that an interruption leaves all or none."""
    usd = spending.to_tags(days)
    written = {**{tags.USD_MONTH + month: value for month, value in usd.items()}, **values}
    tags.tag_instance(work.cloud, instance_id, written, "recording the last session's cost")
    spent = tuple(sorted(spending.from_tags(usd.items()).items()))
    work.know_instance(instance_id, spent=spent, **known)


def _session_end(cloud: Cloud, step: CountSession) -> SessionEnd:
    """Read the console only if EC2 does not report the end."""

    def end(left: Stopped | None) -> SessionEnd:
        now = datetime.now(UTC)
        return session_end(
            step.launched, transition=step.transition, deadline=step.deadline, left=left, now=now
        )

    ended = end(None)
    return end(read_console_record(cloud, step.instance_id)) if ended.guessed else ended


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
