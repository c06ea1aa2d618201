"""`stop` and `down`: stop the meter; remove everything the box made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import spent
from gpu_box.box.converge import converge
from gpu_box.errors import CloudError
from gpu_box.machine.ssh import ssh_config
from gpu_box.model.observed import (
    InstanceState,
    Observed,
)
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Gone, StoppedBox
from gpu_box.plan import box as plan
from gpu_box.plan.steps import Step


def stop(cloud: Cloud, report: Reporter) -> StoppedBox:
    """The meter off; done only once EC2 says `stopped`. The disk stays."""
    observed = halt(cloud, report)
    ssh_config.forget_address(cloud.config.name)
    instance = observed.instance
    return StoppedBox(
        box=cloud.config.name,
        state=str(instance.state) if instance else "none",
        usd_month_stopped=read_price_of(cloud, instance).disk_month if instance else None,
    )


def halt(cloud: Cloud, report: Reporter) -> Observed:
    """AWS's part of `stop`: what the session cost is noted now, so that the next start has one call less."""

    def steps(observed: Observed) -> list[Step]:
        instance = observed.instance
        if instance is None or instance.state is not InstanceState.STOPPED:
            return plan.stop(observed)
        return plan.stop(observed, rates=spent.rates_of(read_price_of(cloud, instance)))

    observed, _ = converge(cloud, report, steps, need="stop")
    if observed.deadline_unread:
        report.note(f"{observed.deadline_unread}; the stop needs it not")
    return observed


def down(cloud: Cloud, report: Reporter, *, keep_images: bool = False) -> Gone:
    """Everything that this box made in AWS, removed; then read back that nothing is left.

    keep_images: but for its baked image, from which the next `up` launches.
    """
    bring_down(cloud, report, keep_images=keep_images)
    ssh_config.remove(cloud.config.name)
    return Gone(box=cloud.config.name)


def bring_down(cloud: Cloud, report: Reporter, *, keep_images: bool = False) -> Observed:
    """AWS's part of it."""

    observed, _ = converge(cloud, report, lambda seen: plan.down(seen, keep_images=keep_images))
    rest = replace(observed, images=(), snapshots=()) if keep_images else observed
    if not rest.nothing_left:
        raise CloudError(
            "something of this box is still there",
            remedy="Run `gpu-box down` again; `gpu-box status` shows it.",
        )
    if observed.deadline_unread:
        report.note(
            f"{observed.deadline_unread}; if the box's schedule or role is left, it costs nothing and stops "
            "nothing: run `gpu-box down` again later to remove it"
        )
    return observed


def remove_foreign_rules(cloud: Cloud, consented: Collection[str], report: Reporter) -> None:
    """consented: rules of the security group that gpu-box did not make, as `Observed` words them."""
    converge(cloud, report, lambda seen: plan.remove_foreign_rules(seen, consented))
