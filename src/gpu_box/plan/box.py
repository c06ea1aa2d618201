"""The next steps of `stop`, `resize` and `down`. Pure, like `plan.up`."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gpu_box.config.model import Config
from gpu_box.model.facts import Facts
from gpu_box.model.observed import Instance, InstanceState, Observed, Stopped
from gpu_box.model.spending import Rates
from gpu_box.model.stop_reason import recorded_end
from gpu_box.plan.budget import deadline_of, uncounted_end
from gpu_box.plan.notes import CorrectSession, CountSession, NoteResize, TagAgain
from gpu_box.plan.readable import require_known_state
from gpu_box.plan.steps import (
    CancelSpotRequest,
    ChangeType,
    DeleteDeadline,
    DeleteDeadlineRole,
    DeleteKeyPair,
    DeleteSecurityGroup,
    DeleteSnapshot,
    DeleteVolume,
    DeregisterImage,
    RemoveForeignRules,
    Step,
    StopInstance,
    Terminate,
    WaitForInstance,
)


def tag_again(observed: Observed) -> list[TagAgain]:
    """The first step of every command: AWS permits other changes only on resources with the box's tags."""
    return [TagAgain(instance_id=instance.id) for instance in observed.live if not instance.tagged]


def stop(observed: Observed, *, rates: Rates | None = None, after: str = "") -> list[Step]:
    """Stop the instance and keep the disk. The deadline stays: it does no harm, and the next `up` moves it.

    rates: the instance's; if given, the session's cost is recorded once it has ended. after: for `why`.
    """
    steps: list[Step] = []
    for instance in observed.live:
        if instance.state.bills:
            steps.append(StopInstance(instance_id=instance.id, after=after))
        if instance.state is not InstanceState.STOPPED:
            steps.append(WaitForInstance(instance_id=instance.id, state=InstanceState.STOPPED))
    if not steps and rates and observed.instance:
        steps += count_session(observed, observed.instance, rates)
    return steps


def remove_foreign_rules(observed: Observed, consented: Collection[str]) -> list[Step]:
    """Remove the rules that were added by hand to the security group, and that the user agreed to remove."""
    group = observed.group
    rules = tuple(rule for rule in group.foreign if rule in consented) if group else ()
    return [RemoveForeignRules(group_id=group.id, rules=rules)] if group and rules else []


def resize(observed: Observed, instance_type: str, *, rates: Rates | None) -> list[Step]:
    """Give the instance this type, stopping it first if it runs. `up` starts it again."""
    instance = observed.instance
    if instance is None or instance.type == instance_type:
        return []
    require_known_state(instance)
    if instance.state.bills:
        if instance.resizing != instance_type:
            return [NoteResize(instance_id=instance.id, type=instance_type)]
        return stop(observed)
    if instance.state is not InstanceState.STOPPED:
        return [WaitForInstance(instance_id=instance.id, state=InstanceState.STOPPED)]
    return [
        *count_session(observed, instance, rates),
        ChangeType(instance_id=instance.id, before=instance.type, type=instance_type),
    ]


def down(observed: Observed, *, keep_images: bool = False) -> list[Step]:
    """Remove everything, except images if they are kept.

    What stops the instance goes after the instance; the security group goes last.
    """
    steps: list[Step] = [CancelSpotRequest(request_id=request.id) for request in observed.spot_requests]
    for instance in observed.instances:
        if instance.exists:
            steps.append(Terminate(instance_id=instance.id, why="terminate, with its disk"))
        if instance.state is not InstanceState.TERMINATED:
            steps.append(WaitForInstance(instance_id=instance.id, state=InstanceState.TERMINATED))
    if observed.deadline:
        steps.append(DeleteDeadline())
    if observed.deadline_role_arn and not (observed.region_in_use or observed.deadline_unread):
        steps.append(DeleteDeadlineRole())
    if observed.key_pair:
        steps.append(DeleteKeyPair(key_name=observed.key_pair.name))
    # An attached volume is deleted with its instance; a volume left over is deleted next round.
    steps += [
        DeleteVolume(volume_id=v.id, size_gib=v.size_gib) for v in observed.volumes if v.attached_to is None
    ]
    if not keep_images:
        # AWS deletes a snapshot only after its image; those of a pending image are deleted next round.
        steps += [DeregisterImage(image_id=image.id) for image in observed.images] or [
            DeleteSnapshot(snapshot_id=s.id, size_gib=s.size_gib) for s in observed.snapshots
        ]
    if observed.group:
        steps.append(DeleteSecurityGroup(group_id=observed.group.id))
    return steps


def count_session(observed: Observed, instance: Instance, rates: Rates | None) -> Iterator[Step]:
    if instance.spent_until != instance.launched:
        yield CountSession(
            instance_id=instance.id,
            launched=instance.launched,
            transition=instance.transition,
            deadline=deadline_of(observed, instance),
            usd_hour=rates.hour if rates else None,
            before=instance.spent,
        )


def count_guessed(config: Config, facts: Facts) -> list[Step]:
    """Before planning with a budget, count the last session if EC2 does not report its end.

    The console may hold the end, and a guess made now does not grow while the box stays stopped.
    """
    observed, instance = facts.observed, facts.observed.instance
    if config.limits.budget is None or facts.rates is None or observed.deadline_unread:
        return []
    if instance is None or instance.state is not InstanceState.STOPPED:
        return []
    ended = uncounted_end(observed, now=facts.now)
    return list(count_session(observed, instance, facts.rates)) if ended and ended.guessed else []


def correct_session(instance: Instance, left: Stopped | None) -> list[Step]:
    """left: the box's record of its last stop; ignored if it is of another session."""
    guess = instance.guess
    ended = recorded_end(left, guess.launched, guess.until) if guess else None
    if guess is None or ended is None:
        return []
    return [CorrectSession(instance_id=instance.id, guess=guess, ended=ended, before=instance.spent)]
