"""Another instance type for the same box: its disk, and everything on it, stays."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_box import box, plan
from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.aws.instance_types import refuse_unfit
from gpu_box.aws.prices import Price, read_price, read_price_of
from gpu_box.box import Up
from gpu_box.config import Config
from gpu_box.errors import CloudError
from gpu_box.model import Observed, Reporter
from gpu_box.steps import NoteResize, Step


@dataclass(frozen=True, kw_only=True)
class Resized:
    before: str
    after: str
    price: Price  # of the new type
    up: Up | None  # None: it was stopped, and is left so


def resize(config: Config, instance_type: str, report: Reporter) -> Resized:
    """A box that ran runs again afterwards; one that was stopped stays so. Cut anywhere, it may be run again.

    Raises InputError for a type that its zone or its disk's architecture does not take.
    """
    cloud = Cloud(config)
    observed = box.observe_box(cloud)
    instance = observed.instance
    if instance is None:
        raise CloudError(f"there is no box {config.name!r}", remedy="`gpu-box up` makes it.")
    refuse_unfit(cloud, instance_type, like=instance)
    runs = instance.state.bills or bool(instance.resizing)
    change_type(cloud, instance_type, report)
    started = None
    if runs:
        started = box.up(config, report)
        act(cloud, [NoteResize(instance_id=instance.id, type="")], report, started.observed)
    return Resized(
        before=instance.type, after=instance_type, price=read_price(cloud, instance_type), up=started
    )


def change_type(cloud: Cloud, instance_type: str, report: Reporter) -> Observed:
    """AWS's part of it: the box is stopped, and of this type, afterwards."""

    def steps(observed: Observed) -> list[Step]:
        price = read_price_of(cloud, observed.instance) if observed.instance else None
        return plan.resize(observed, instance_type, rates=box.rates_of(price) if price else None)

    return box.converge(cloud, report, steps)[0]
