"""The box's disk as an image: kept for a faster `up` (bake), or used to move the box to another zone.

AWS takes an image as of the moment it begins, so a box that was stopped for it may run again at once. An
interrupted command can be run again to continue.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.box import converge, find
from gpu_box.box.up import up
from gpu_box.box.usable import require_usable
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError
from gpu_box.machine.files import secret
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import BAKED, MOVING, Image, Instance, InstanceState, Observed
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Baked, Moved, Unbaked
from gpu_box.plan import box as plan
from gpu_box.plan import budget, images, limits
from gpu_box.plan.deadline import as_agreed, require_deadline, sooner
from gpu_box.plan.notes import NoteBake
from gpu_box.plan.readable import require_readable
from gpu_box.plan.steps import Step
from gpu_box.plan.up import refuse_smaller_disk


def bake(cloud: Cloud, report: Reporter) -> Baked:
    """Make an image of the disk, replacing an older one. A box that ran is started again while AWS copies.

    Raises CloudError if there is no box or AWS cannot make the image.
    """
    observed = find.observe_box(cloud)
    instance = _require_instance(cloud.config, observed)
    config, kept = limits.kept(as_agreed(cloud.config, observed), instance)
    if kept:
        report.note(f"the box keeps its limits: {'; '.join(kept)}")
    cloud = cloud.sharing(config)
    _remove_secrets(cloud, instance, report)
    image = begin(cloud, BAKED, report)
    started = up(cloud, report) if instance.state.bills or instance.baking else None
    before = budget.deadline_of(observed, instance) if instance.state.bills else None
    if started and (line := sooner(before, started.deadline)):
        report.note(line)
    observed = end(cloud, image, report)
    made = next(i for i in observed.images if i.id == image.id)
    snapshots = [s for s in observed.snapshots if s.id in made.snapshot_ids]
    return Baked(
        box=config.name,
        state="running" if started else "stopped",
        image=made.id,
        size_gib=sum(s.size_gib for s in snapshots),
        usd_month=sum((s.usd_month for s in snapshots), Decimal(0)),
    )


def _remove_secrets(cloud: Cloud, instance: Instance, report: Reporter) -> None:
    """An image is a copy that outlives the box, so it is made without secrets; `up` copies them again."""
    if instance.state is InstanceState.RUNNING and instance.address:
        with connect(find.find_host(cloud)) as connection:
            secret.remove_all(connection)
    elif cloud.config.env or cloud.config.env_file or cloud.config.kaggle or cloud.config.notify.webhook:
        report.note(
            "the box does not run, so the image includes the secrets on its disk (variables, Kaggle's "
            "credentials, webhook); without them: `gpu-box up`, then `gpu-box bake`"
        )


def begin(cloud: Cloud, kind: str, report: Reporter) -> Image:
    """The AWS part until the disk may change again. The box is stopped afterwards."""
    observed, _ = converge.converge(cloud, report, lambda seen: images.make(seen, kind))
    image = images.image_of(observed)
    if image is None:
        raise CloudError(
            "the box was removed while its image was made", remedy="`gpu-box status` shows its state."
        )
    return image


def end(cloud: Cloud, image: Image, report: Reporter) -> Observed:
    """The final AWS part: wait for the image, remove older ones, and clear the note that the box ran."""
    observed = find.observe_box(cloud)
    instance = observed.instance
    if instance and instance.baking and instance.state.bills:
        act(cloud, [NoteBake(instance_id=instance.id, on=False)], report, observed)
    return converge.converge(cloud, report, lambda seen: images.finish(seen, image.id))[0]


def remove(cloud: Cloud, report: Reporter) -> Unbaked:
    """Remove the box's images. Refused if an image is the only copy of the disk."""
    require_removable(find.observe_box(cloud))
    converge.converge(cloud, report, lambda seen: images.remove(seen, seen.images))
    return Unbaked(box=cloud.config.name)


def require_removable(observed: Observed) -> None:
    """Raise CloudError if an image is the only disk of a box that is being moved."""
    if observed.instance is None and any(image.kind == MOVING for image in observed.images):
        raise CloudError(
            "this image is the box's only disk: it is being moved to another zone",
            remedy="`gpu-box up` finishes the move; `gpu-box down` removes the box with all its data.",
        )


def move(cloud: Cloud, report: Reporter) -> Moved:
    """Move the box with its disk to a zone of the config that has capacity, and start it.

    The instance is removed only when the image is complete; from then on the box is that image, until an `up`
    finds capacity. Raises CloudError if there is no box or it runs, InputError if no other zone is allowed.
    """
    observed = find.observe_box(cloud)
    require_deadline(cloud.config, observed)
    env = require_usable(cloud.config)  # `up` would refuse the same after the instance is removed
    before = None
    if observed.instance or not observed.images:  # otherwise an earlier move was interrupted
        before = require_movable(cloud.config, observed).zone
        carry(cloud, report)
    done = up(cloud, report, env=env)
    return Moved(box=done.box, state=done.state, instance=done.instance, before=before, zone=done.zone)


def require_movable(config: Config, observed: Observed) -> Instance:
    """The instance to move. Raises CloudError and InputError as `move` does."""
    instance = _require_instance(config, observed)
    if instance.state.bills:
        raise CloudError(
            f"{config.name} is running in {instance.zone}",
            remedy="Only a stopped box can be moved: run `gpu-box stop` first.",
        )
    if config.zones == (instance.zone,):
        raise InputError(
            f"{config.name} is already in {instance.zone}, the only zone in the config",
            where="zones",
            remedy="Add other zones, or remove the key.",
        )
    refuse_smaller_disk(config, instance)
    return instance


def carry(cloud: Cloud, report: Reporter) -> Observed:
    """The AWS part: make a complete image of the disk, then remove the instance and its spot request."""
    image = begin(cloud, MOVING, report)

    def steps(observed: Observed) -> list[Step]:
        if observed.instance is None:
            return []
        if images.image_of(observed) is None:
            raise CloudError(
                "the box was started while its disk was copied", remedy="Stop it, then move it again."
            )
        if unfinished := images.finish(observed, image.id):
            return unfinished
        gone = replace(observed, deadline=None, deadline_role_arn=None, key_pair=None, group=None)
        return plan.down(gone, keep_images=True)

    return converge.converge(cloud, report, steps)[0]


def _require_instance(config: Config, observed: Observed) -> Instance:
    instance = observed.instance
    if instance is None:
        raise CloudError(f"there is no box {config.name!r}", remedy="`gpu-box up` creates it.")
    require_readable(config.name, instance)
    return instance
