"""The steps of `up`: from what exists to what was asked for. Pure: no I/O, no clock but the one passed in.

The caller executes the steps, observes again, and asks again until the answer is empty. So a plan never needs
to foresee the outcome of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError, disk_too_small
from gpu_box.model.facts import Facts
from gpu_box.model.failed_start import failed_start, had_no_room
from gpu_box.model.observed import Instance, InstanceState, Launch, Launchable, Observed
from gpu_box.model.public_key import fingerprint, same_key
from gpu_box.plan import limits
from gpu_box.plan.box import count_session
from gpu_box.plan.budget import budget_end
from gpu_box.plan.deadline import deadline, deadline_role, require_deadline_read
from gpu_box.plan.readable import require_readable
from gpu_box.plan.steps import (
    AllowSsh,
    ArmDeadline,
    CancelSpotRequest,
    CreateSecurityGroup,
    GrowDisk,
    ImportKeyPair,
    ReplaceKeyPair,
    RunInstance,
    StartInstance,
    Step,
    Terminate,
    WaitForImage,
    WaitForInstance,
)

_NO_ROOM_FOR = timedelta(minutes=2)  # until a place that had no room is tried again


def plan_up(config: Config, facts: Facts) -> list[Step]:
    """From anything to a running instance that is reachable from here and that AWS itself will stop.

    config: with the limits that the box is to have. Raises CloudError if a person has to choose: two
    instances with work on them, another person's key; InputError for a month's budget that is spent.
    """
    observed, now = facts.observed, facts.now
    require_deadline_read(observed)
    extra = list(_extra_instances(observed))
    instance = observed.instance
    budget = budget_end(config, observed, facts.rates, now=now)
    if instance is None:
        launch, launchable = facts.launch, facts.launchable
        if launch is None or launchable is None:
            raise ValueError("a launch is wanted: `facts` needs `launch` and `launchable`")
        if launchable.image_pending:
            # A fresh disk would be there at once, and the work of weeks would not be on it.
            return [*extra, WaitForImage(image_id=launchable.image_id)]
        if config.disk.size_gib < launchable.min_disk_gib:
            raise disk_too_small(launchable.min_disk_gib)
        return [
            *extra,
            *_open_requests(observed),
            *_key_pair(observed, facts.public_key),
            *_access(config, observed, launch=launch, launchable=launchable),
            *deadline_role(observed),
            RunInstance(launch=launch, launchable=_with_room(launchable, observed, now)),
        ]
    steps = [*extra, *_running(config, facts, instance, budget)]
    if instance.state.bills and _arms_sooner(steps, observed):
        # The tag keeps the old limits until the deadline has moved, so that an `up` after a cut one moves it.
        return steps
    return [*limits.note(config, instance), *steps]


def _running(config: Config, facts: Facts, instance: Instance, budget: datetime | None) -> list[Step]:
    """The instance that is there, started and reachable, with its deadline armed. budget: its end."""
    observed, now = facts.observed, facts.now
    require_readable(config.name, instance)
    _check_key(instance, facts.public_key)
    disk = list(_disk(config, instance))
    match instance.state:
        case InstanceState.STOPPING:
            # EC2 refuses to start what is still stopping.
            awaited = InstanceState.STOPPED
            return [*disk, WaitForInstance(instance_id=instance.id, state=awaited)]
        case InstanceState.STOPPED:
            return [
                *disk,
                *_access(config, observed),
                *deadline_role(observed),
                *deadline(config, observed, instance, now=now, budget=budget, starting=True),
                *count_session(observed, instance, facts.rates),
                StartInstance(instance_id=instance.id, type=instance.type, zone=instance.zone),
                WaitForInstance(instance_id=instance.id, state=InstanceState.RUNNING),
            ]
        case _:
            reachable = instance.state is InstanceState.RUNNING and instance.address
            return [
                *disk,
                *_access(config, observed),
                *deadline_role(observed),
                *deadline(config, observed, instance, now=now, budget=budget, starting=False),
                *(
                    []
                    if reachable
                    else [WaitForInstance(instance_id=instance.id, state=InstanceState.RUNNING)]
                ),
            ]


def _arms_sooner(steps: list[Step], observed: Observed) -> bool:
    armed = observed.deadline
    return armed is not None and any(isinstance(s, ArmDeadline) and s.at < armed.at for s in steps)


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
