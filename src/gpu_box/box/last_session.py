"""Correct the last session's cost with the box's own record."""

from __future__ import annotations

from datetime import UTC, datetime

from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import spent
from gpu_box.errors import InputError
from gpu_box.model.machine import MachineState
from gpu_box.model.observed import Observed
from gpu_box.model.progress import Reporter
from gpu_box.plan import budget
from gpu_box.plan.box import correct_session
from gpu_box.plan.deadline import deadline


def corrected(cloud: Cloud, observed: Observed, machine: MachineState, report: Reporter) -> Observed:
    """Correct the tags if the last session's end was a guess, and move the deadline with the budget's end.

    cloud: with the running box's limits. Raises CloudError if AWS refuses.
    """
    instance, watch = observed.instance, machine.watch
    steps = correct_session(instance, watch.stopped) if instance and watch else []
    if not steps:
        return observed
    observed, _ = act(cloud, steps, report, observed)
    instance, config = observed.instance, cloud.config
    limited = config.limits.budget is not None or config.run_usd is not None
    if instance is None or not limited or observed.deadline_late:
        return observed  # a late deadline is being armed at the same time; the next `up` moves it
    rates, now = spent.rates_of(read_price_of(cloud, instance)), datetime.now(UTC)
    try:
        end = budget.earliest_end(config, observed, rates, now=now)
    except InputError:  # the budget is spent or the price unknown: keep the armed deadline
        return observed
    moved = list(deadline(config, observed, instance, now=now, budget=end, starting=False))
    return act(cloud, moved, report, observed)[0] if moved else observed
