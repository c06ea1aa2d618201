"""The steps to an image of the box's disk, and to remove images. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gpu_box.errors import CloudError
from gpu_box.model.observed import BAKED, MOVING, Image, Instance, InstanceState, Observed
from gpu_box.plan import box as plan
from gpu_box.plan.notes import NoteBake, NoteMoved
from gpu_box.plan.readable import require_known_state
from gpu_box.plan.steps import CreateImage, DeleteSnapshot, DeregisterImage, Step, WaitForImage


def content(instance: Instance) -> str:
    """Identifies a stopped disk's content, which changes only when the box runs; that moves `launched`."""
    return f"{instance.id} {instance.launched.isoformat(timespec='seconds')}"


def image_of(observed: Observed, kinds: Iterable[str] = (BAKED, MOVING)) -> Image | None:
    """The image of the instance's current disk, or of the disk as it will be once it is stopped."""
    instance = observed.instance
    if instance is None:
        return None
    found = (i for i in observed.images if i.usable and i.kind in kinds and i.of == content(instance))
    return next(found, None)


def make(observed: Observed, kind: str) -> list[Step]:
    """Stop the box and begin an image; from then on the disk may change.

    A baked image also serves for a move.
    """
    instance = observed.instance
    if instance is None:
        return []
    require_known_state(instance)
    if instance.state.bills:
        if not instance.baking:
            return [NoteBake(instance_id=instance.id, on=True)]
        return plan.stop(observed)
    if instance.state is not InstanceState.STOPPED:
        return plan.stop(observed)
    if image_of(observed, (BAKED,) if kind == BAKED else (BAKED, MOVING)):
        return []
    failed = [i for i in observed.images if not i.usable]
    if failed:  # it still has the name
        return [DeregisterImage(image_id=i.id, why=f"removed, it {i.state}") for i in failed]
    return [CreateImage(instance_id=instance.id, kind=kind, of=content(instance))]


def finish(observed: Observed, image_id: str) -> list[Step]:
    """Wait until the image is available, then remove others of its kind. Raises CloudError if AWS failed."""
    image = next((i for i in observed.images if i.id == image_id), None)
    if image is None or not image.usable:
        raise CloudError(
            f"AWS could not make image {image_id}",
            remedy="Run the command again to make another one; the disk is unchanged.",
        )
    if image.state == "pending":
        return [WaitForImage(image_id=image_id)]
    others = [i for i in observed.images if i.id != image_id]
    # An image made for a move leaves a baked one alone.
    return remove(observed, others if image.kind == BAKED else [i for i in others if i.kind == MOVING])


def remove(observed: Observed, images: Iterable[Image]) -> list[Step]:
    """Remove these images, then the snapshots that no image uses."""
    images = list(images)
    if images:
        return [DeregisterImage(image_id=i.id) for i in images]
    if any(i.state == "pending" for i in observed.images):
        return []  # AWS does not return yet which snapshots belong to it
    held = {snapshot for image in observed.images for snapshot in image.snapshot_ids}
    return [
        DeleteSnapshot(snapshot_id=s.id, size_gib=s.size_gib) for s in observed.snapshots if s.id not in held
    ]


def moved(observed: Observed) -> list[Step]:
    """Remove the images of a finished move."""
    instance = observed.instance
    if instance is None or not instance.moved_from:
        return []
    return remove(observed, [i for i in observed.images if i.kind == MOVING]) or [
        NoteMoved(instance_id=instance.id)
    ]
