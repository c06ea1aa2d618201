"""`plan`: what `up` would do next, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from gpu_box.aws.client import Cloud
from gpu_box.aws.quotas import missing_quota
from gpu_box.box import find
from gpu_box.box.converge import require_own
from gpu_box.box.facts import FactsReader
from gpu_box.box.usable import require_usable
from gpu_box.config.model import Config
from gpu_box.machine.ssh import keys
from gpu_box.model.observed import Observed
from gpu_box.model.results import VIEW_ONLY, PlannedStep
from gpu_box.plan import budget, limits
from gpu_box.plan.steps import ArmDeadline, Step
from gpu_box.plan.up import plan_up

_PLACEHOLDER_KEY = "ssh-ed25519 AAAA that-up-makes"


@dataclass(frozen=True, kw_only=True)
class Plan:
    box: str
    region: str
    instance_type: str
    steps: tuple[PlannedStep, ...]  # in AWS; empty: nothing is missing
    usd_hour: Decimal | None  # running; null: the type's price is unknown
    usd_hour_on_demand: Decimal | None  # of a spot instance: what it would cost on demand
    usd_month_stopped: Decimal  # its disk
    prices: str  # source and date
    missing_quota: str | None  # the quota that is too small
    foreign_rules: tuple[str, ...]  # rules of the security group that were added by hand
    config: Path | None  # the file that was read; null: all defaults
    limits_kept: tuple[str, ...]  # of the running box, tighter than the config's
    nvme_gb: int | None  # of ~/scratch; 0: a folder of the disk; null: the type is not in the catalogue
    env: tuple[str, ...] = ()  # names of `env` and `env_file`
    rules: Config = field(metadata=VIEW_ONLY)  # with the limits that the running box keeps
    stops_at: datetime | None = field(metadata=VIEW_ONLY)  # by AWS, after these steps; None: unknown
    gpu: str = field(metadata=VIEW_ONLY)


def preview(cloud: Cloud) -> Plan:
    """The steps that `up` would take first. Changes nothing, here or in AWS."""
    env = require_usable(cloud.config)
    public_key = keys.read_public_line(cloud.config.ssh.key) or _PLACEHOLDER_KEY
    observed = find.observe_box(cloud, need="plan")
    require_own(cloud, observed)
    config, kept = limits.kept(cloud.config, observed.instance)
    instance = observed.instance
    instance_type = instance.type if instance else config.instance_types[0]
    facts = FactsReader(cloud, public_key, launches=False)
    steps = plan_up(config, facts.of(observed))
    price, missing = facts.price(observed), missing_quota(cloud, instance)
    return Plan(
        box=config.name,
        region=observed.region,
        instance_type=instance_type,
        steps=tuple(PlannedStep(mark=s.mark, title=s.title, line=str(s), stage=s.stage) for s in steps),
        usd_hour=price.hour,
        usd_hour_on_demand=price.hour_on_demand,
        usd_month_stopped=price.disk_month,
        prices=price.source,
        missing_quota=missing,
        foreign_rules=observed.group.foreign if observed.group else (),
        config=config.path,
        limits_kept=kept,
        nvme_gb=price.gpu.nvme_gb if price.gpu else None,
        env=env.names,
        rules=config,
        stops_at=_deadline_after(steps, observed),
        gpu=str(price.gpu or ""),
    )


def _deadline_after(steps: Sequence[Step], observed: Observed) -> datetime | None:
    if observed.instance is None:
        return None
    moved = next((step.at for step in steps if isinstance(step, ArmDeadline)), None)
    return moved or budget.deadline_of(observed, observed.instance)
