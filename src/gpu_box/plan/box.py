"""What is missing between what exists and what was asked for. Pure: no I/O, no clock but the one passed in.

Each function returns the steps of the next round; the caller executes them, observes again, and asks again
until the answer is empty. So a plan never needs to foresee the outcome of a step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError, disk_too_small
from gpu_box.model.failed_start import failed_start, had_no_room
from gpu_box.model.observed import Deadline, Instance, InstanceState, Launch, Launchable, Observed
from gpu_box.model.public_key import fingerprint, same_key
from gpu_box.model.spending import Rates
from gpu_box.model.stop_reason import stopped_at
from gpu_box.plan import limits
from gpu_box.plan.budget import budget_end, deadline_of
from gpu_box.plan.readable import require_readable
from gpu_box.plan.steps import (
    AllowSsh,
    ArmDeadline,
    CancelSpotRequest,
    ChangeType,
    CountSession,
    CreateDeadlineRole,
    CreateSecurityGroup,
    DeleteDeadline,
    DeleteDeadlineRole,
    DeleteKeyPair,
    DeleteSecurityGroup,
    DeleteSnapshot,
    DeleteVolume,
    DeregisterImage,
    GrowDisk,
    ImportKeyPair,
    NoteExtend,
    NoteResize,
    RemoveForeignRules,
    ReplaceKeyPair,
    RunInstance,
    StartInstance,
    Step,
    StopInstance,
    TagAgain,
    Terminate,
    WaitForImage,
    WaitForInstance,
)

# A budget's end moves by seconds from one look to the next; only a real change moves the deadline.
_SLACK = timedelta(minutes=5)
_NO_ROOM_FOR = timedelta(minutes=2)  # until a place that had no room is tried again
_MINUTE = timedelta(minutes=1)  # deadlines are whole minutes
# A schedule of less than this might be in the past by the time that AWS has it.
_LEAST_AHEAD = timedelta(minutes=2)


def up(
    config: Config,
    observed: Observed,
    *,
    now: datetime,
    public_key: str,
    launch: Launch | None = None,
    launchable: Launchable | None = None,
    rates: Rates | None = None,
) -> list[Step]:
    """From anything to a running instance that is reachable from here and that AWS itself will stop.

    now: aware. public_key: OpenSSH line of the user's key, with which the machine is entered. rates: of the
    instance, or of the type that would be tried first; None where they are not known. Raises CloudError where
    a person has to choose: two instances with work on them, another person's key; InputError for a month's
    budget that is spent.
    """
    _require_deadline_read(observed)
    extra = list(_extra_instances(observed))
    instance = observed.instance
    budget = budget_end(config, observed, rates, now=now)
    if instance is None:
        if launch is None or launchable is None:
            raise ValueError("a launch is wanted: pass `launch` and `launchable`")
        if launchable.image_pending:
            # A fresh disk would be there at once, and the work of weeks would not be on it.
            return [*extra, WaitForImage(image_id=launchable.image_id)]
        if config.disk.size_gib < launchable.min_disk_gib:
            raise disk_too_small(launchable.min_disk_gib)
        return [
            *extra,
            *_open_requests(observed),
            *_key_pair(observed, public_key),
            *_access(config, observed, launch=launch, launchable=launchable),
            *_deadline_role(observed),
            RunInstance(launch=launch, launchable=_with_room(launchable, observed, now)),
        ]
    require_readable(config.name, instance)
    _check_key(instance, public_key)
    extra += _disk(config, instance)
    match instance.state:
        case InstanceState.STOPPING:
            # EC2 refuses to start what is still stopping.
            awaited = InstanceState.STOPPED
            return [*extra, WaitForInstance(instance_id=instance.id, state=awaited)]
        case InstanceState.STOPPED:
            return [
                *extra,
                *_access(config, observed),
                *_deadline_role(observed),
                *_deadline(config, observed, instance, now=now, budget=budget, starting=True),
                *_count_session(observed, instance, rates),
                StartInstance(instance_id=instance.id, type=instance.type, zone=instance.zone),
                WaitForInstance(instance_id=instance.id, state=InstanceState.RUNNING),
            ]
        case _:
            reachable = instance.state is InstanceState.RUNNING and instance.address
            return [
                *extra,
                *_access(config, observed),
                *_deadline_role(observed),
                *_deadline(config, observed, instance, now=now, budget=budget, starting=False),
                *(
                    []
                    if reachable
                    else [WaitForInstance(instance_id=instance.id, state=InstanceState.RUNNING)]
                ),
            ]


def tag_again(observed: Observed) -> list[Step]:
    """First of all, whatever the command: AWS permits the rest only to what carries the box's tags."""
    return [TagAgain(instance_id=instance.id) for instance in observed.live if not instance.tagged]


def stop(observed: Observed, *, rates: Rates | None = None) -> list[Step]:
    """The meter off, the disk kept. The deadline stays: it does no harm, and is moved by the next `up`.

    rates: of the instance; with them, what the session cost is noted once it has ended.
    """
    steps: list[Step] = []
    for instance in observed.live:
        if instance.state.bills:
            steps.append(StopInstance(instance_id=instance.id))
        if instance.state is not InstanceState.STOPPED:
            steps.append(WaitForInstance(instance_id=instance.id, state=InstanceState.STOPPED))
    if not steps and rates and observed.instance:
        steps += _count_session(observed, observed.instance, rates)
    return steps


def remove_foreign_rules(observed: Observed, consented: Collection[str]) -> list[Step]:
    """Of the rules that somebody added to the security group by hand, those that a person gave up."""
    group = observed.group
    rules = tuple(rule for rule in group.foreign if rule in consented) if group else ()
    return [RemoveForeignRules(group_id=group.id, rules=rules)] if group and rules else []


def resize(observed: Observed, instance_type: str, *, rates: Rates | None) -> list[Step]:
    """Until the instance is of this type: stopped for it, where it runs. Starting it again is `up`'s."""
    instance = observed.instance
    if instance is None or instance.type == instance_type:
        return []
    if instance.state.bills:
        if instance.resizing != instance_type:
            return [NoteResize(instance_id=instance.id, type=instance_type)]
        return stop(observed)
    if instance.state is not InstanceState.STOPPED:
        return [WaitForInstance(instance_id=instance.id, state=InstanceState.STOPPED)]
    return [
        *_count_session(observed, instance, rates),
        ChangeType(instance_id=instance.id, before=instance.type, type=instance_type),
    ]


def down(observed: Observed, *, keep_images: bool = False) -> list[Step]:
    """Nothing left, but for images where they are kept. What stops the instance goes only after the instance;
    the group, last of all.
    """
    steps: list[Step] = [CancelSpotRequest(request_id=request.id) for request in observed.spot_requests]
    for instance in observed.instances:
        if instance.exists:
            steps.append(Terminate(instance_id=instance.id, why="terminate, with its disk"))
        if instance.state is not InstanceState.TERMINATED:
            steps.append(WaitForInstance(instance_id=instance.id, state=InstanceState.TERMINATED))
    if observed.deadline:
        steps.append(DeleteDeadline())
    if observed.deadline_role_arn and not observed.region_in_use:
        steps.append(DeleteDeadlineRole())
    if observed.key_pair:
        steps.append(DeleteKeyPair(key_name=observed.key_pair.name))
    # A volume that is attached goes with its instance; what is still there afterwards is seen next round.
    steps += [
        DeleteVolume(volume_id=v.id, size_gib=v.size_gib) for v in observed.volumes if v.attached_to is None
    ]
    if not keep_images:
        # AWS lets go of a snapshot only after its image; those of a pending one are seen next round.
        steps += [DeregisterImage(image_id=image.id) for image in observed.images] or [
            DeleteSnapshot(snapshot_id=s.id, size_gib=s.size_gib) for s in observed.snapshots
        ]
    if observed.group:
        steps.append(DeleteSecurityGroup(group_id=observed.group.id))
    return steps


def extend(observed: Observed, *, base: datetime, at: datetime) -> list[Step]:
    """The deadline of the running instance moved from `base` to `at` (aware, whole minutes)."""
    instance, armed = observed.instance, observed.deadline
    if instance is None or observed.deadline_unavailable:
        return []
    _require_deadline_read(observed)
    if instance.extending != (base, at):
        return [NoteExtend(instance_id=instance.id, moving=(base, at))]
    if armed and armed.instance_id == instance.id and armed.at == at:
        return []
    return [
        *_deadline_role(observed),
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
    """From where to where `extend` moves the deadline: what an earlier one was about, where that was cut.

    asked: what one of this laptop was about that never told its user that it was done.
    """
    armed = deadline_of(observed, instance)
    for base, at in filter(None, (instance.extending, asked)):
        if at - base == span and at > now and armed in (base, at):
            return base, at
    # Of one that has passed, or was never armed, the time is counted from now.
    base = armed if armed and armed > now else now.replace(second=0, microsecond=0)
    return base, base + span


def _count_session(observed: Observed, instance: Instance, rates: Rates | None) -> Iterator[Step]:
    if instance.spent_until != instance.launched:
        yield CountSession(
            instance_id=instance.id,
            launched=instance.launched,
            ended=stopped_at(instance.transition),
            deadline=deadline_of(observed, instance),
            usd_hour=rates.hour if rates else None,
            before=instance.spent,
        )


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


def _extra_instances(observed: Observed) -> Iterator[Step]:
    """Two laptops, or a lost answer: an empty second instance goes; a used one is a person's call."""
    for instance in observed.live[1:]:
        if instance.host_key is not None:
            ids = ", ".join(i.id for i in observed.live)
            raise CloudError(
                f"this box has {len(observed.live)} instances that were set up: {ids}",
                remedy="Terminate the one you do not need, by its id, in the AWS console; then run again.",
            )
        for request in observed.spot_requests:
            if request.instance_id == instance.id:
                yield CancelSpotRequest(request_id=request.id)
        yield Terminate(instance_id=instance.id, why="terminate: a second one of this box, never used")


def _open_requests(observed: Observed) -> Iterator[Step]:
    """A spot request whose instance is gone launches another one by itself: a second box."""
    for request in observed.spot_requests:
        if request.state == "open":
            yield CancelSpotRequest(request_id=request.id)


def _with_room(launchable: Launchable, observed: Observed, now: datetime) -> Launchable:
    """Without the places where AWS has just accepted a launch and then had no room. CapacityError for all."""
    failed = [i for i in observed.instances if had_no_room(i) and now - i.launched < _NO_ROOM_FOR]
    full = {(i.type, i.zone, i.market) for i in failed}
    left = tuple(p for p in launchable.placements if (p.type, p.zone, p.market) not in full)
    if not left:
        raise failed_start(failed[-1])
    return replace(launchable, placements=left)


def _key_pair(observed: Observed, public_key: str) -> Iterator[Step]:
    if observed.key_pair is None:
        yield ImportKeyPair(public_key=public_key)
    elif not same_key(observed.key_pair.public_key, public_key):
        yield ReplaceKeyPair(key_name=observed.key_pair.name, public_key=public_key)


def _check_key(instance: Instance, public_key: str) -> None:
    if instance.key in ("", fingerprint(public_key)):
        return
    raise InputError(
        f"instance {instance.id} was made with another SSH key than yours",
        where="ssh.key",
        remedy="Point ssh.key in config.yaml at the private key with which the box was made.",
    )


def _access(
    config: Config, observed: Observed, *, launch: Launch | None = None, launchable: Launchable | None = None
) -> Iterator[Step]:
    wanted = config.network.allow_ssh_from or observed.caller
    if observed.group is None:
        if launch and launchable:
            yield CreateSecurityGroup(
                generation=launch.generation, vpc_id=launchable.vpc_id, ssh_from=tuple(wanted)
            )
        return
    allow = tuple(c for c in wanted if c not in observed.group.ssh_from | observed.group.ssh_from_foreign)
    # An address that is no longer ours is somebody else's.
    revoke = tuple(sorted(observed.group.ssh_from - set(wanted), key=str)) if wanted else ()
    if allow or revoke:
        yield AllowSsh(group_id=observed.group.id, allow=allow, revoke=revoke)


def _is_of(armed: Deadline | None, instance: Instance) -> bool:
    return armed is not None and armed.instance_id == instance.id


def refuse_smaller_disk(config: Config, instance: Instance) -> None:
    wanted, there = config.disk.size_gib, instance.disk_gib
    if there is not None and wanted < there:
        raise InputError(
            f"the box's disk has {there} GiB, and a volume cannot shrink",
            where="disk.size_gib",
            remedy=f"Set it to {there} or more; a smaller disk takes a new box: `gpu-box down`, then `up`.",
        )


def _disk(config: Config, instance: Instance) -> Iterator[Step]:
    refuse_smaller_disk(config, instance)
    wanted, there = config.disk.size_gib, instance.disk_gib
    if there is not None and wanted != there:
        yield GrowDisk(instance_id=instance.id, before=there, size_gib=wanted)


def _require_deadline_read(observed: Observed) -> None:
    """Raises CloudError: nothing is started that AWS may not stop."""
    if observed.deadline_unread:
        raise CloudError(
            f"the AWS-side deadline cannot be armed now ({observed.deadline_unread}): nothing was changed",
            remedy="Run this again when IAM and EventBridge Scheduler answer; `gpu-box stop` needs neither.",
        )


def _deadline_role(observed: Observed) -> Iterator[Step]:
    if observed.deadline_role_arn is None and not observed.deadline_unavailable:
        yield CreateDeadlineRole()


def _deadline(
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
    # Later than that it may be, by `extend`; sooner it is a former session's, or of lower limits than now.
    early = armed and armed.at < since_launch - _SLACK
    kept = armed and armed.at > now and not overdrawn and not early
    if armed and armed.instance_id == instance.id and not starting and kept:
        return
    at = since_launch if not starting and since_launch > now else deadline_at(config, now, budget)
    if armed and armed.instance_id == instance.id and abs(armed.at - at) < _SLACK:
        return
    yield ArmDeadline(at=at, instance_id=instance.id, exists=_is_of(armed, instance))
