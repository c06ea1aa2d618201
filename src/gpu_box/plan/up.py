"""The steps of `up`, from the observed state to the wanted one. Pure: no I/O, and the clock is an argument.

The caller carries out the steps, observes again, and asks again until no step is left, so a plan never needs
to predict the outcome of a step.
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
from gpu_box.plan.budget import earliest_end
from gpu_box.plan.deadline import (
    armed_before,
    deadline,
    deadline_role,
    require_deadline,
    require_deadline_read,
)
from gpu_box.plan.notes import NoteLimits
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

_NO_ROOM_FOR = timedelta(minutes=2)  # before a placement without capacity is tried again


def plan_up(config: Config, facts: Facts) -> list[Step]:
    """From any state to a running, reachable instance that AWS will stop.

    config: with the limits that the box is to have. Raises CloudError if the user must choose (two instances
    that were set up) or an AWS service does not answer; InputError if the SSH key differs or the budget is
    spent.
    """
    observed, now = facts.observed, facts.now
    if not armed_before(config, observed):
        require_deadline_read(observed)
    require_deadline(config, observed)
    extra = list(_extra_instances(observed))
    instance = observed.instance
    budget = earliest_end(config, observed, facts.rates, now=now)
    if instance is None:
        launch, launchable = facts.launch, facts.launchable
        if launch is None or launchable is None:
            raise ValueError("a launch needs `launch` and `launchable` in `facts`")
        if launchable.image_pending:
            # A new empty disk would be faster, but without the user's work.
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
        # The tag keeps the old limits until the deadline has moved, so that an interrupted `up` moves it next
        # time.
        return steps
    return [*_note_limits(config, instance), *steps]


def _note_limits(config: Config, instance: Instance) -> list[NoteLimits]:
    wanted = limits.tag(config)
    return [] if instance.limits == wanted else [NoteLimits(instance_id=instance.id, value=wanted)]


def _running(config: Config, facts: Facts, instance: Instance, budget: datetime | None) -> list[Step]:
    """Start the existing instance, make it reachable and arm its deadline. budget: its end."""
    observed, now = facts.observed, facts.now
    require_readable(config.name, instance)
    _check_key(instance, facts.public_key)
    disk = list(_disk(config, instance))
    match instance.state:
        case InstanceState.STOPPING:
            # EC2 refuses to start a stopping instance.
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
    """Remove unused extra instances, made by two laptops or after a lost answer; a used one is an error."""
    for instance in observed.live[1:]:
        if instance.host_key is not None:
            ids = ", ".join(i.id for i in observed.live)
            raise CloudError(
                f"this box has {len(observed.live)} instances that were set up: {ids}",
                remedy="Terminate the one you do not need in the AWS console, then run this again.",
            )
        for request in observed.spot_requests:
            if request.instance_id == instance.id:
                yield CancelSpotRequest(request_id=request.id)
        yield Terminate(instance_id=instance.id, why="terminate: a second, unused instance of this box")


def _open_requests(observed: Observed) -> Iterator[Step]:
    """An open spot request without an instance would launch a second box."""
    for request in observed.spot_requests:
        if request.state == "open":
            yield CancelSpotRequest(request_id=request.id)


def _with_room(launchable: Launchable, observed: Observed, now: datetime) -> Launchable:
    """Leave out placements that just turned out to have no capacity. Raises CapacityError if none is left."""
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
        f"instance {instance.id} was created with a different SSH key",
        where="ssh.key",
        remedy="Set ssh.key in config.yaml to the private key that the box was created with.",
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
    # An address that the laptop no longer has may belong to someone else.
    revoke = tuple(sorted(observed.group.ssh_from - set(wanted), key=str)) if wanted else ()
    if allow or revoke:
        yield AllowSsh(group_id=observed.group.id, allow=allow, revoke=revoke)


def refuse_smaller_disk(config: Config, instance: Instance) -> None:
    wanted, there = config.disk.size_gib, instance.disk_gib
    if there is not None and wanted < there:
        raise InputError(
            f"the box's disk has {there} GiB, and a volume cannot shrink",
            where="disk.size_gib",
            remedy=f"Set it to {there} or more; a smaller disk needs a new box: `gpu-box down`, then `up`.",
        )


def _disk(config: Config, instance: Instance) -> Iterator[Step]:
    refuse_smaller_disk(config, instance)
    wanted, there = config.disk.size_gib, instance.disk_gib
    if there is not None and wanted != there:
        yield GrowDisk(instance_id=instance.id, before=there, size_gib=wanted)
