"""Another instance type for the same box: its disk, and everything on it, stays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.aws.instance_types import refuse_unfit
from gpu_box.aws.prices.prices import read_price, read_price_of
from gpu_box.box import converge, find, image, spent, stop, up
from gpu_box.box.converge import require_own
from gpu_box.errors import CloudError
from gpu_box.model.observed import MOVING, Observed
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Resized
from gpu_box.plan import box as plan
from gpu_box.plan import limits
from gpu_box.plan.readable import require_readable
from gpu_box.plan.steps import NoteResize, Step


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What `resize` would change."""

    observed: Observed
    usd_hour_before: Decimal | None  # None: an earlier one, cut after its instance went, is gone on with
    usd_hour: Decimal | None

    @property
    def before(self) -> str:
        return self.observed.instance.type if self.observed.instance else ""


def look_ahead(cloud: Cloud, instance_type: str) -> Ahead:
    """Changes nothing. Raises InputError and CloudError as `resize` does."""
    observed = find.observe_box(cloud)
    require_own(cloud, observed)
    instance = observed.instance
    if instance is None:
        if not takes_an_image(observed, instance_type):
            raise CloudError(f"there is no box {cloud.config.name!r}", remedy="`gpu-box up` makes it.")
        return Ahead(observed=observed, usd_hour_before=None, usd_hour=read_price(cloud, instance_type).hour)
    require_readable(cloud.config.name, instance)
    refuse_unfit(cloud, instance_type, like=instance)
    return Ahead(
        observed=observed,
        usd_hour_before=read_price_of(cloud, instance).hour,
        usd_hour=read_price_of(cloud, replace(instance, type=instance_type)).hour,
    )


def resize(cloud: Cloud, instance_type: str, report: Reporter) -> Resized:
    """A box that ran runs again afterwards; one that was stopped stays so. Cut anywhere, it may be run again.

    Raises InputError for a type that its zone or its disk's architecture does not take.
    """
    ahead = look_ahead(cloud, instance_type)
    observed, instance = ahead.observed, ahead.observed.instance
    config, kept = limits.kept(cloud.config, instance)
    if kept:
        report.note(f"the box keeps its limits: {'; '.join(kept)}")
    cloud = cloud.sharing(config)
    ran = instance is None or instance.state.bills or bool(instance.resizing) or instance.baking
    started = None
    if takes_an_image(observed, instance_type):
        if instance:
            image.carry(cloud, report)
        started = up.up(cloud.sharing(replace(config, instance_types=(instance_type,))), report)
        if not ran:
            stop.stop(cloud, report)
    else:
        change_type(cloud, instance_type, report)
        if instance and ran:
            started = up.up(cloud, report)
            act(cloud, [NoteResize(instance_id=instance.id, type="")], report, started.observed)
    return Resized(
        box=config.name,
        state="running" if started and ran else "stopped",
        before=ahead.before,
        type=instance_type,
        usd_hour=started.usd_hour if started else ahead.usd_hour,
        usd_hour_before=ahead.usd_hour_before,
    )


def takes_an_image(observed: Observed, instance_type: str) -> bool:
    """Whether the disk goes to a new instance, as with `move`, because its own keeps its type: "While a Spot
    Instance is stopped, you can modify some of its instance attributes, but not the instance type" (EC2 User
    Guide, "Behavior of Spot Instance interruptions").
    """
    instance = observed.instance
    if instance is None:  # cut in the middle
        return any(made.kind == MOVING for made in observed.images)
    return instance.market == "spot" and instance.type != instance_type


def change_type(cloud: Cloud, instance_type: str, report: Reporter) -> Observed:
    """AWS's part of it: the box is stopped, and of this type, afterwards."""

    def steps(observed: Observed) -> list[Step]:
        price = read_price_of(cloud, observed.instance) if observed.instance else None
        return plan.resize(observed, instance_type, rates=spent.rates_of(price) if price else None)

    return converge.converge(cloud, report, steps)[0]
