"""Change a box's instance type and keep its disk."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal

from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.aws.instance_types import refuse_unfit
from gpu_box.aws.prices.prices import read_price, read_price_of
from gpu_box.box import converge, find, image, spent, stop, up
from gpu_box.box.converge import require_own
from gpu_box.box.usable import require_usable
from gpu_box.errors import CloudError, GpuBoxError
from gpu_box.model.observed import MOVING, Observed
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Resized
from gpu_box.plan import box as plan
from gpu_box.plan import budget, limits
from gpu_box.plan.deadline import as_agreed, sooner
from gpu_box.plan.notes import NoteResize
from gpu_box.plan.readable import require_readable
from gpu_box.plan.steps import Step


@dataclass(frozen=True, kw_only=True)
class ResizePreview:
    """The change that `resize` would make."""

    observed: Observed
    usd_hour_before: Decimal | None  # None: continues a resize that had removed the instance
    usd_hour: Decimal | None

    @property
    def before(self) -> str:
        return self.observed.instance.type if self.observed.instance else ""


def preview(cloud: Cloud, instance_type: str) -> ResizePreview:
    """Changes nothing. Raises InputError and CloudError as `resize` does."""
    observed = find.observe_box(cloud)
    require_own(cloud, observed)
    instance = observed.instance
    if instance is None:
        if not takes_an_image(observed, instance_type):
            raise CloudError(f"there is no box {cloud.config.name!r}", remedy="`gpu-box up` creates it.")
        return ResizePreview(
            observed=observed, usd_hour_before=None, usd_hour=read_price(cloud, instance_type).hour
        )
    require_readable(cloud.config.name, instance)
    refuse_unfit(cloud, instance_type, like=instance)
    return ResizePreview(
        observed=observed,
        usd_hour_before=read_price_of(cloud, instance).hour,
        usd_hour=read_price_of(cloud, replace(instance, type=instance_type)).hour,
    )


def resize(cloud: Cloud, instance_type: str, report: Reporter) -> Resized:
    """A running box runs again afterwards; a stopped one stays stopped. Can be run again to continue.

    Raises InputError if the zone or the disk's architecture does not support the type.
    """
    ahead = preview(cloud, instance_type)
    observed, instance = ahead.observed, ahead.observed.instance
    config, kept = limits.kept(cloud.config, instance)
    if kept:
        report.note(f"the box keeps its limits: {'; '.join(kept)}")
    config = as_agreed(config, observed)
    cloud = cloud.sharing(config)
    ran = instance is None or instance.state.bills or bool(instance.resizing) or instance.baking
    started = None
    # `up` would refuse the same after the box has stopped.
    env = require_usable(cloud.config) if ran or takes_an_image(observed, instance_type) else None
    if takes_an_image(observed, instance_type):
        if instance:
            image.carry(cloud, report)
        try:
            started = up.up(cloud.sharing(replace(config, instance_types=(instance_type,))), report, env=env)
        except CloudError:
            if ran:
                note_unfinished(cloud, instance_type, report)
            raise
        if not ran:
            stop.stop(cloud, report)
    else:
        change_type(cloud, instance_type, report)
        if instance and ran:
            started = up.up(cloud, report, env=env)
            act(cloud, [NoteResize(instance_id=instance.id, type="")], report, started.observed)
    before = budget.deadline_of(observed, instance) if instance and instance.state.bills else None
    if started and (line := sooner(before, started.deadline)):
        report.note(line)
    return Resized(
        box=config.name,
        state="running" if started and ran else "stopped",
        before=ahead.before,
        type=instance_type,
        usd_hour=started.usd_hour if started else ahead.usd_hour,
        usd_hour_before=ahead.usd_hour_before,
    )


def note_unfinished(cloud: Cloud, instance_type: str, report: Reporter) -> None:
    """Note on the new instance, if it was stopped without a deadline, that the box ran before."""
    with suppress(GpuBoxError):  # the first error counts
        observed = find.observe_box(cloud)
        instance = observed.instance
        if instance and instance.moved_from and not instance.state.bills:
            act(cloud, [NoteResize(instance_id=instance.id, type=instance_type)], report, observed)


def takes_an_image(observed: Observed, instance_type: str) -> bool:
    """Whether the disk must go to a new instance, as with `move`, because a spot instance keeps its type.

    "While a Spot Instance is stopped, you can modify some of its instance attributes, but not the instance
    type" (EC2 User Guide, "Behavior of Spot Instance interruptions").
    """
    instance = observed.instance
    if instance is None:  # an earlier resize was interrupted
        return any(made.kind == MOVING for made in observed.images)
    return instance.market == "spot" and instance.type != instance_type


def change_type(cloud: Cloud, instance_type: str, report: Reporter) -> Observed:
    """The AWS part: the box is stopped and has this type afterwards."""

    def steps(observed: Observed) -> list[Step]:
        price = read_price_of(cloud, observed.instance) if observed.instance else None
        return plan.resize(observed, instance_type, rates=spent.rates_of(price) if price else None)

    return converge.converge(cloud, report, steps)[0]
