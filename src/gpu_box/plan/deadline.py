"""When AWS is to stop a box, and the steps that arm, move or extend that deadline. Pure, as `plan.up`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError
from gpu_box.model.observed import Deadline, Instance, Observed
from gpu_box.plan import limits
from gpu_box.plan.budget import deadline_of
from gpu_box.plan.steps import ArmDeadline, CreateDeadlineRole, NoteExtend, Step

# A budget's end moves by seconds from one look to the next; only a real change moves the deadline.
_SLACK = timedelta(minutes=5)
_MINUTE = timedelta(minutes=1)  # deadlines are whole minutes
# A schedule of less than this might be in the past by the time that AWS has it.
_LEAST_AHEAD = timedelta(minutes=2)


def deadline_at(config: Config, start: datetime, budget: datetime | None = None) -> datetime:
    """When AWS stops the box, if it starts (or started) at `start` (aware). To the minute.

    The soonest of `limits.max_hours` after the start, the next `limits.stop_at`, and the end of the budget.
    `stop_at` is local wall-clock time: across a change to or from summer time it is still what the clock on
    the wall says. Rounded up, but for the budget, which is never overdrawn.
    """
    by_hours = start + config.limits.max_hours
    candidates = [by_hours]
    if config.limits.stop_at is not None:
        local = start.astimezone()
        for days in (0, 1):
            day = (local + timedelta(days=days)).date()
            # A naive datetime's astimezone() reads it as local time with the offset of that very day.
            at = datetime.combine(day, config.limits.stop_at).astimezone()
            if at > start + timedelta(minutes=1):
                candidates.append(at)
                break
    at = min(candidates).astimezone(start.tzinfo)
    whole = at.replace(second=0, microsecond=0) + timedelta(minutes=1 if at.second or at.microsecond else 0)
    return whole if budget is None else min(whole, budget.replace(second=0, microsecond=0))


def require_deadline_read(observed: Observed) -> None:
    """Raises CloudError: nothing is started that AWS may not stop."""
    if observed.deadline_unread:
        raise CloudError(
            f"the AWS-side deadline cannot be armed now ({observed.deadline_unread}): nothing was changed",
            remedy="Run this again when IAM and EventBridge Scheduler answer; `gpu-box stop` needs neither.",
        )


def deadline_role(observed: Observed) -> Iterator[Step]:
    if observed.deadline_role_arn is None and not observed.deadline_unavailable:
        yield CreateDeadlineRole()


def deadline(
    config: Config,
    observed: Observed,
    instance: Instance,
    *,
    now: datetime,
    budget: datetime | None,
    starting: bool,
) -> Iterator[Step]:
    since_launch = deadline_at(config, instance.launched, budget)
    moved = not starting and limits.changed(config, instance)
    if moved and since_launch < now + _LEAST_AHEAD:
        raise InputError(
            f"the box started at {instance.launched.astimezone():%a %H:%M} and would have to stop at "
            f"{since_launch.astimezone():%a %H:%M}, now {now.astimezone():%a %H:%M}: nothing was changed",
            where="limits",
            remedy="Run `gpu-box stop` to stop it now, or give it more time in config.yaml.",
        )
    if observed.deadline_unavailable:
        return
    armed = observed.deadline
    if armed and observed.deadline_role_arn not in (None, armed.role_arn):
        armed = None  # its role was changed by hand: whether that may stop the box is not known
    if moved:
        if armed is None or not _is_of(armed, instance) or abs(armed.at - since_launch) > _MINUTE:
            exists = _is_of(armed, instance)
            yield ArmDeadline(at=since_launch, instance_id=instance.id, exists=exists)
        return
    overdrawn = armed and budget and armed.at > budget + _SLACK
    # Later: `extend` moved it. Sooner: it is of an earlier session, or of lower limits.
    early = armed and armed.at < since_launch - _SLACK
    kept = armed and armed.at > now and not overdrawn and not early
    if armed and _is_of(armed, instance) and not starting and kept:
        return
    at = since_launch if not starting and since_launch > now else deadline_at(config, now, budget)
    if armed and _is_of(armed, instance) and abs(armed.at - at) < _SLACK:
        return
    yield ArmDeadline(at=at, instance_id=instance.id, exists=_is_of(armed, instance))


def extend(observed: Observed, *, base: datetime, at: datetime) -> list[Step]:
    """The deadline of the running instance moved from `base` to `at` (aware, whole minutes)."""
    instance, armed = observed.instance, observed.deadline
    if instance is None or observed.deadline_unavailable:
        return []
    require_deadline_read(observed)
    if instance.extending != (base, at):
        return [NoteExtend(instance_id=instance.id, moving=(base, at))]
    if armed and _is_of(armed, instance) and armed.at == at:
        return []
    return [
        *deadline_role(observed),
        ArmDeadline(at=at, instance_id=instance.id, exists=_is_of(armed, instance)),
    ]


def extension(
    observed: Observed,
    instance: Instance,
    span: timedelta,
    *,
    now: datetime,
    asked: tuple[datetime, datetime] | None = None,
) -> tuple[datetime, datetime]:
    """From when to when `extend` moves the deadline: as an earlier one that was cut, else by `span`.

    asked: the times of an `extend` on this laptop that did not finish.
    """
    armed = deadline_of(observed, instance)
    for base, at in filter(None, (instance.extending, asked)):
        if at - base == span and at > now and armed in (base, at):
            return base, at
    # A deadline that has passed, or was never armed, is extended from now.
    base = armed if armed and armed > now else now.replace(second=0, microsecond=0)
    return base, base + span


def _is_of(armed: Deadline | None, instance: Instance) -> bool:
    return armed is not None and armed.instance_id == instance.id
