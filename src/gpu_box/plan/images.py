"""What is missing until there is an image of the box's disk, and what of images is to go. Pure, as `plan`."""

from __future__ import annotations

from collections.abc import Iterable

from gpu_box.errors import CloudError
from gpu_box.model.observed import BAKED, MOVING, Image, Instance, InstanceState, Observed
from gpu_box.plan import box as plan
from gpu_box.plan.steps import (
    CreateImage,
    DeleteSnapshot,
    DeregisterImage,
    NoteBake,
    NoteMoved,
    Step,
    WaitForImage,
)


def content(instance: Instance) -> str:
    """Names what is on a stopped instance's disk, which changes only by running: that moves `launched`."""
    return f"{instance.id} {instance.launched.isoformat(timespec='seconds')}"


def image_of(observed: Observed, kinds: Iterable[str] = (BAKED, MOVING)) -> Image | None:
    """The image of the instance's disk as it is, or is to be once it is stopped."""
    instance = observed.instance
    if instance is None:
        return None
    found = (i for i in observed.images if i.usable and i.kind in kinds and i.of == content(instance))
    return next(found, None)


def make(observed: Observed, kind: str) -> list[Step]:
    """Until AWS has begun an image: from then on the disk may change. The box is stopped for it.

    A baked image serves for a move, too.
    """
    instance = observed.instance
    if instance is None:
        return []
    if instance.state.bills:
        if not instance.baking:
            return [NoteBake(instance_id=instance.id, on=True)]
        return plan.stop(observed)
    if instance.state is not InstanceState.STOPPED:
        return plan.stop(observed)
    if image_of(observed, (BAKED,) if kind == BAKED else (BAKED, MOVING)):
        return []
    failed = [i for i in observed.images if not i.usable]
    if failed:  # it has the name
        return [DeregisterImage(image_id=i.id, why=f"removed, it {i.state}") for i in failed]
    return [CreateImage(instance_id=instance.id, kind=kind, of=content(instance))]


def finish(observed: Observed, image_id: str) -> list[Step]:
    """Until the image is available, and the only one of its kind. Raises CloudError where AWS failed."""
    image = next((i for i in observed.images if i.id == image_id), None)
    if image is None or not image.usable:
        raise CloudError(
            f"AWS could not make image {image_id}",
            remedy="Run the command again: it makes another one; the disk is as it was.",
        )
    if image.state == "pending":
        return [WaitForImage(image_id=image_id)]
    others = [i for i in observed.images if i.id != image_id]
    # What only carries the disk elsewhere leaves a baked one alone.
    return remove(observed, others if image.kind == BAKED else [i for i in others if i.kind == MOVING])


def remove(observed: Observed, images: Iterable[Image]) -> list[Step]:
    """These, then the snapshots that no image holds."""
    images = list(images)
    if images:
        return [DeregisterImage(image_id=i.id) for i in images]
    if any(i.state == "pending" for i in observed.images):
        return []  # AWS does not tell yet which snapshots are its
    held = {snapshot for image in observed.images for snapshot in image.snapshot_ids}
    return [
        DeleteSnapshot(snapshot_id=s.id, size_gib=s.size_gib) for s in observed.snapshots if s.id not in held
    ]


def moved(observed: Observed) -> list[Step]:
    """The box is where it was to be: what brought it there goes."""
    instance = observed.instance
    if instance is None or not instance.moved_from:
        return []
    return remove(observed, [i for i in observed.images if i.kind == MOVING]) or [
        NoteMoved(instance_id=instance.id)
    ]
