"""When AWS stops a box, and the steps that arm, move or extend that deadline. Pure, like `plan.up`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError, PermissionDenied
from gpu_box.model.observed import PENDING_KEY, Deadline, Instance, InstanceState, Observed
from gpu_box.plan import limits
from gpu_box.plan.budget import deadline_of
from gpu_box.plan.notes import NoteExtend
from gpu_box.plan.steps import ArmDeadline, CreateDeadlineRole, Step

# A budget's end moves by seconds between readings; only a real change moves the deadline.
_SLACK = timedelta(minutes=5)
_MINUTE = timedelta(minutes=1)  # deadlines are in whole minutes
# A closer schedule could be in the past by the time AWS has stored it.
_LEAST_AHEAD = timedelta(minutes=2)


def deadline_at(config: Config, start: datetime, budget: datetime | None = None) -> datetime:
    """When AWS stops a box that starts (or started) at `start` (aware). In whole minutes.

    The earliest of `limits.max_hours` or `up --for` after the start, the next `limits.stop_at`, and `budget`.
    `stop_at` is local wall-clock time, also across a change of daylight saving time. Rounded up, except that
    the budget is never overdrawn.
    """
    by_hours = start + min(filter(None, (config.limits.max_hours, config.run_for)))
    candidates = [by_hours]
    if config.limits.stop_at is not None:
        local = start.astimezone()
        for days in (0, 1):
            day = (local + timedelta(days=days)).date()
            # A naive datetime's astimezone() reads it as local time with that day's offset.
            at = datetime.combine(day, config.limits.stop_at).astimezone()
            if at > start + timedelta(minutes=1):
                candidates.append(at)
                break
    at = min(candidates).astimezone(start.tzinfo)
    whole = at.replace(second=0, microsecond=0) + timedelta(minutes=1 if at.second or at.microsecond else 0)
    return whole if budget is None else min(whole, budget.replace(second=0, microsecond=0))


def armed_before(config: Config, observed: Observed) -> bool:
    """Whether an earlier `up` armed the deadline: the instance runs, was set up, and keeps its limits."""
    instance = observed.instance
    if instance is None or instance.state is not InstanceState.RUNNING or limits.changed(config, instance):
        return False
    return is_set_up(instance)


def is_set_up(instance: Instance) -> bool:
    """Whether an earlier `up` reached the machine."""
    return instance.host_key is not None and not instance.host_key.startswith(PENDING_KEY)


def require_deadline(config: Config, observed: Observed) -> None:
    """Raises PermissionDenied if a box would start without AWS's deadline, unless its user agreed to that."""
    instance = observed.instance
    starts = instance is None or not instance.state.bills
    limited = config.run_for or config.run_usd  # only the deadline holds these
    if observed.deadline_unavailable and (starts or limited) and not config.without_deadline:
        raise refuse_without_deadline(observed.deadline_unavailable)


def as_agreed(config: Config, observed: Observed) -> Config:
    """The config, with an earlier `up --without-deadline`'s consent if the box runs without a deadline."""
    instance = observed.instance
    at_work = instance is not None and instance.state.bills and is_set_up(instance)
    if at_work and observed.deadline is None and not observed.deadline_unread:
        return replace(config, without_deadline=True)
    return config


# The remedy if AWS does not permit the user to arm a deadline.
REMEDY = (
    "Ask an AWS administrator to run the commands of `gpu-box policy --role`, and set aws.deadline_role; or "
    "run `gpu-box up --without-deadline`: then only the box itself stops it."
)


def refuse_without_deadline(why: str) -> PermissionDenied:
    return PermissionDenied(
        f"AWS would not stop this box at its deadline ({why}): nothing was started", remedy=REMEDY
    )


def sooner(before: datetime | None, after: datetime | None) -> str:
    """The note that a start in between has taken back what `extend` gave, or ""."""
    if before is None or after is None or after > before - _SLACK:
        return ""
    return (
        f"a start begins a new deadline: AWS stops the box at {after.astimezone():%a %H:%M}, not at "
        f"{before.astimezone():%a %H:%M} as extended; `gpu-box extend` moves it"
    )


def require_deadline_read(observed: Observed) -> None:
    """Raise CloudError if IAM or Scheduler does not answer: do not start what AWS might not stop."""
    if observed.deadline_unread:
        raise CloudError(
            f"the deadline in AWS cannot be armed now ({observed.deadline_unread}): nothing was changed",
            remedy="Run this again when IAM and EventBridge Scheduler answer; `gpu-box stop` needs neither.",
        )


def deadline_role(observed: Observed) -> Iterator[Step]:
    unknown = observed.deadline_unavailable or observed.deadline_unread
    if observed.deadline_role_arn is None and not unknown:
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
            remedy="Run `gpu-box stop` to stop it now, or give it more in config.yaml, --for and --at-most.",
        )
    if observed.deadline_unavailable or observed.deadline_unread:
        return
    armed = observed.deadline
    if armed and observed.deadline_role_arn not in (None, armed.role_arn):
        armed = None  # its role was changed by hand and may not be able to stop the box
    if moved:
        if armed is None or not _is_of(armed, instance) or abs(armed.at - since_launch) > _MINUTE:
            exists = _is_of(armed, instance)
            yield ArmDeadline(at=since_launch, instance_id=instance.id, exists=exists)
        return
    overdrawn = armed and budget and armed.at > budget + _SLACK
    # Later: `extend` moved it. Sooner: it is of an earlier session or lower limits.
    early = armed and armed.at < since_launch - _SLACK
    kept = armed and armed.at > now and not overdrawn and not early
    if armed and _is_of(armed, instance) and not starting and kept:
        return
    at = since_launch if not starting and since_launch > now else deadline_at(config, now, budget)
    if armed and _is_of(armed, instance) and abs(armed.at - at) < _SLACK:
        return
    yield ArmDeadline(at=at, instance_id=instance.id, exists=_is_of(armed, instance))


def extend(observed: Observed, *, base: datetime, at: datetime) -> list[Step]:
    """Move the running instance's deadline from `base` to `at` (aware, whole minutes)."""
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
    """The times from and to which `extend` moves the deadline: an interrupted one's, or later by `span`.

    asked: the times of an unfinished `extend` on this laptop. Raises CloudError if the deadline is unread.
    """
    require_deadline_read(observed)
    armed = deadline_of(observed, instance)
    for base, at in filter(None, (instance.extending, asked)):
        if at - base == span and at > now and armed in (base, at):
            return base, at
    # If the deadline has passed or was never armed, count from now.
    base = armed if armed and armed > now else now.replace(second=0, microsecond=0)
    return base, base + span


def _is_of(armed: Deadline | None, instance: Instance) -> bool:
    return armed is not None and armed.instance_id == instance.id
