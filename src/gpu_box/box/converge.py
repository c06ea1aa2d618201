"""Observe, plan and act until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gpu_box.aws import tags
from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import Need
from gpu_box.box import find, spent
from gpu_box.errors import CloudError
from gpu_box.model.observed import Observed
from gpu_box.model.progress import Reporter
from gpu_box.plan.box import tag_again
from gpu_box.plan.ownership import require_mine
from gpu_box.plan.steps import DeleteSnapshot, Step, Terminate

# Rounds of observe, plan, act: a first `up` takes four. More means that something undoes our changes.
_MAX_ROUNDS = 12


def converge(
    cloud: Cloud, report: Reporter, next_steps: Callable[[Observed], list[Step]], *, need: Need = "everything"
) -> tuple[Observed, bool]:
    """Observe, plan, act until the plan is empty. Returns the final state and whether anything was changed.

    Observes again between rounds only if AWS's answers did not include every change.
    Raises AnothersBox before any change to another owner's box.
    """
    observed = find.observe_box(cloud, need=need)
    acted, tried = False, set[str]()
    for _ in range(_MAX_ROUNDS):
        require_own(cloud, observed)
        untagged = [step for step in tag_again(observed) if step.instance_id not in tried]
        tried |= {step.instance_id for step in untagged}
        steps: Sequence[Step] = untagged or next_steps(observed)
        if not steps:
            return observed, acted
        if any(isinstance(step, Terminate | DeleteSnapshot) for step in steps):
            spent.remember(cloud, observed)
        observed, whole = act(cloud, steps, report, observed)
        acted = True
        if not whole:
            unarmable, shared = observed.deadline_unavailable, observed.deadline_role_shared
            observed = replace(find.observe_box(cloud, need=need), deadline_role_shared=shared)
            if unarmable:
                observed = replace(observed, deadline_unavailable=unarmable)
    raise CloudError(
        "the box does not settle, because something else keeps changing it",
        where="; ".join(str(step) for step in steps),
        remedy="Check whether another gpu-box, the console or a script is changing it, then run this again.",
    )


def require_own(cloud: Cloud, observed: Observed) -> None:
    """Raise AnothersBox for another owner's box, unless the user agreed to change it."""
    if not cloud.config.any_owner:
        require_mine(observed, tags.owner_tag(cloud.config), name=cloud.config.name)
