"""`stop` and `down`: stop the instance; remove everything the box made."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import spent
from gpu_box.box.converge import converge
from gpu_box.errors import CloudError
from gpu_box.machine.ssh import ssh_config
from gpu_box.model.observed import InstanceState, Observed
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Gone, StoppedBox
from gpu_box.plan import box as plan
from gpu_box.plan.steps import Step
from gpu_box.store import job_names


def stop(cloud: Cloud, report: Reporter, *, after: str = "") -> StoppedBox:
    """Stop the instance; returns once EC2 reports `stopped`. The disk is kept.

    after: what ended before it, which `why` then shows.
    """
    observed = halt(cloud, report, after=after)
    ssh_config.forget_address(cloud.config.name)
    instance = observed.instance
    return StoppedBox(
        box=cloud.config.name,
        state=str(instance.state) if instance else "none",
        usd_month_stopped=read_price_of(cloud, instance).disk_month if instance else None,
    )


def halt(cloud: Cloud, report: Reporter, *, after: str = "") -> Observed:
    """The AWS part of `stop`. Also records the session's cost, which saves the next start a call."""

    def steps(observed: Observed) -> list[Step]:
        instance = observed.instance
        if instance is None or instance.state is not InstanceState.STOPPED:
            return plan.stop(observed, after=after)
        return plan.stop(observed, rates=spent.rates_of(read_price_of(cloud, instance)))

    observed, _ = converge(cloud, report, steps, need="stop")
    if observed.deadline_unread:
        report.note(f"{observed.deadline_unread}; the stop does not need it")
    if observed.relaunched_unread:
        report.note(f"{observed.relaunched_unread}; `gpu-box status` shows whether another instance runs")
    return observed


def down(cloud: Cloud, report: Reporter, *, keep_images: bool = False) -> Gone:
    """Remove everything the box made in AWS, then read back that nothing is left.

    keep_images: keep its baked image, from which the next `up` launches.
    """
    bring_down(cloud, report, keep_images=keep_images)
    ssh_config.remove(cloud.config.name)
    for kind in ("project", "upload"):  # the next box has an empty ~/work
        with suppress(OSError):
            cloud.memory(kind).unlink()
    job_names.remember(cloud.config.name, [])
    return Gone(box=cloud.config.name)


def bring_down(cloud: Cloud, report: Reporter, *, keep_images: bool = False) -> Observed:
    """The AWS part of `down`."""

    observed, _ = converge(cloud, report, lambda seen: plan.down(seen, keep_images=keep_images))
    rest = replace(observed, images=(), snapshots=()) if keep_images else observed
    if not rest.nothing_left:
        raise CloudError(
            "some resources of this box still exist",
            remedy="Run `gpu-box down` again; `gpu-box status` shows it.",
        )
    if observed.deadline_unread:
        report.note(
            f"{observed.deadline_unread}; if the box's schedule or role is left, it costs nothing and stops "
            "nothing: run `gpu-box down` again later to remove it"
        )
    return observed


def remove_foreign_rules(cloud: Cloud, consented: Collection[str], report: Reporter) -> None:
    """consented: the rules to remove, worded as in `Observed`."""
    converge(cloud, report, lambda seen: plan.remove_foreign_rules(seen, consented))
