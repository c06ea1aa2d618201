"""The box's disk as an image: kept for a faster `up` (bake), or only to carry it to another zone (move).

An image is whole as of the moment at which AWS began it: what is stopped for it may run again at once. Cut
anywhere, each may be run again, and goes on where it was.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.box import converge, find
from gpu_box.box.up import up
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError
from gpu_box.model.observed import BAKED, MOVING, Image, Instance, Observed
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Baked, Moved, Unbaked
from gpu_box.plan import box as plan
from gpu_box.plan import images, limits
from gpu_box.plan.readable import require_readable
from gpu_box.plan.steps import NoteBake, Step
from gpu_box.plan.up import refuse_smaller_disk


def bake(cloud: Cloud, report: Reporter) -> Baked:
    """An image of the disk as it is, in place of an older one. A box that ran runs again before AWS has
    copied it all. Raises CloudError where there is no box, or AWS cannot make the image.
    """
    instance = _require_instance(cloud.config, find.observe_box(cloud))
    config, kept = limits.kept(cloud.config, instance)
    if kept:
        report.note(f"the box keeps its limits: {'; '.join(kept)}")
    cloud = cloud.sharing(config)
    image = begin(cloud, BAKED, report)
    started = up(cloud, report) if instance.state.bills or instance.baking else None
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


def begin(cloud: Cloud, kind: str, report: Reporter) -> Image:
    """AWS's part of it, until the disk may change again: the box is stopped afterwards."""
    observed, _ = converge.converge(cloud, report, lambda seen: images.make(seen, kind))
    image = images.image_of(observed)
    if image is None:
        raise CloudError(
            "the box went away while its image was made", remedy="`gpu-box status` shows what is."
        )
    return image


def end(cloud: Cloud, image: Image, report: Reporter) -> Observed:
    """AWS's part of it, afterwards: the image whole, no older one left, the note that it ran taken off."""
    observed = find.observe_box(cloud)
    instance = observed.instance
    if instance and instance.baking and instance.state.bills:
        act(cloud, [NoteBake(instance_id=instance.id, on=False)], report, observed)
    return converge.converge(cloud, report, lambda seen: images.finish(seen, image.id))[0]


def remove(cloud: Cloud, report: Reporter) -> Unbaked:
    """The box's images, and what they bill. Refused where one of them is all there is of its disk."""
    require_removable(find.observe_box(cloud))
    converge.converge(cloud, report, lambda seen: images.remove(seen, seen.images))
    return Unbaked(box=cloud.config.name)


def require_removable(observed: Observed) -> None:
    """Raise CloudError for an image that is the only disk of a box on its way to another zone."""
    if observed.instance is None and any(image.kind == MOVING for image in observed.images):
        raise CloudError(
            "this image is the box's only disk: it is on its way to another zone",
            remedy="`gpu-box up` brings it there; `gpu-box down` gives up the box with all that is on it.",
        )


def move(cloud: Cloud, report: Reporter) -> Moved:
    """The box, with its disk, wherever the config's zones have capacity. It runs afterwards.

    Its instance goes only once the image is whole: from then on the box is that image, until an `up` finds
    room for it. Raises CloudError where there is no box, or it runs; InputError where it could go nowhere.
    """
    observed = find.observe_box(cloud)
    before = None
    if observed.instance or not observed.images:  # else cut after its instance went
        before = require_movable(cloud.config, observed).zone
        carry(cloud, report)
    done = up(cloud, report)
    return Moved(box=done.box, state=done.state, instance=done.instance, before=before, zone=done.zone)


def require_movable(config: Config, observed: Observed) -> Instance:
    """The instance that would move. Raises CloudError and InputError as `move` does."""
    instance = _require_instance(config, observed)
    if instance.state.bills:
        raise CloudError(
            f"{config.name} runs, in {instance.zone}",
            remedy="Only what is stopped and finds no room is to move: `gpu-box stop` first.",
        )
    if config.zones == (instance.zone,):
        raise InputError(
            f"{config.name} is in {instance.zone} already, and may be nowhere else",
            where="zones",
            remedy="Add the zones to which it may go, or leave the key out.",
        )
    refuse_smaller_disk(config, instance)
    return instance


def carry(cloud: Cloud, report: Reporter) -> Observed:
    """AWS's part of it: the disk is a whole image, and the instance gone with what would launch it again."""
    image = begin(cloud, MOVING, report)

    def steps(observed: Observed) -> list[Step]:
        if observed.instance is None:
            return []
        if images.image_of(observed) is None:
            raise CloudError(
                "somebody started the box while its disk was copied", remedy="Stop it, then move it again."
            )
        if unfinished := images.finish(observed, image.id):
            return unfinished
        gone = replace(observed, deadline=None, deadline_role_arn=None, key_pair=None, group=None)
        return plan.down(gone, keep_images=True)

    return converge.converge(cloud, report, steps)[0]


def _require_instance(config: Config, observed: Observed) -> Instance:
    instance = observed.instance
    if instance is None:
        raise CloudError(f"there is no box {config.name!r}", remedy="`gpu-box up` makes it.")
    require_readable(config.name, instance)
    return instance
