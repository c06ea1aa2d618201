"""The story of a box: up, stop, down, status. What AWS found is handed to the machine here, and only here.

Every function observes, plans, acts, and observes again until nothing is left to do; so each may be killed
at any point and run again, from this laptop or another.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.launch import render_user_data
from gpu_box.aws.launch_options import read_launchable
from gpu_box.aws.observe import COSTS
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.aws.quotas import missing_quota
from gpu_box.box import enter, find, project, spent
from gpu_box.box.converge import converge, require_own
from gpu_box.config.model import Config
from gpu_box.errors import CapacityError
from gpu_box.machine import jobs, setup, watcher
from gpu_box.machine.files import kaggle
from gpu_box.machine.ssh import keys, ssh_config
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.machine import MachineState
from gpu_box.model.observed import (
    ANYTHING,
    Instance,
    Launch,
    Launchable,
    Observed,
    Stopped,
)
from gpu_box.model.progress import Reporter
from gpu_box.model.results import VIEW_ONLY, PlannedStep
from gpu_box.model.stop_reason import why
from gpu_box.plan import box as plan
from gpu_box.plan import budget, images, limits
from gpu_box.plan.steps import ArmDeadline, Step
from gpu_box.store import last_project, last_seen
from gpu_box.units import format_duration

_A_KEY_TO_COME = "ssh-ed25519 AAAA that-up-makes"
_SAME_DEADLINE = timedelta(minutes=2)  # a budget's end moves a little from one look to the next
_ASK_AGAIN_S = 20.0  # capacity comes back when somebody else's instance goes: seconds to hours


@dataclass(frozen=True, kw_only=True)
class Plan:
    box: str
    region: str
    instance_type: str
    steps: tuple[PlannedStep, ...]  # in AWS; empty: nothing is missing there
    usd_hour: Decimal | None  # running; null: the type's price is not known
    usd_hour_on_demand: Decimal | None  # of a spot instance: what it would cost on demand
    usd_month_stopped: Decimal  # its disk
    prices: str  # where they are from, and of when
    missing_quota: str | None  # what stands in the way
    foreign_rules: tuple[str, ...]  # of the security group, added by somebody else
    config: Path | None  # the file that was read; null: none, all defaults
    limits_kept: tuple[
        str, ...
    ]  # of the running box, tighter than the config's: `up` asks before it loosens them
    rules: Config = field(metadata=VIEW_ONLY)  # with the limits that the running box keeps
    stops_at: datetime | None = field(metadata=VIEW_ONLY)  # by AWS, after these steps; None: not known yet
    gpu: str = field(metadata=VIEW_ONLY)


@dataclass(frozen=True, kw_only=True)
class Up:
    box: str
    state: str  # EC2's word
    changed: bool  # whether anything was to be done
    instance: str
    type: str
    zone: str
    address: str | None
    ssh_port: int
    usd_hour: Decimal | None
    deadline: datetime | None  # at which AWS stops it; null: not armed
    stopped: Stopped | None  # why it had stopped before
    resumed: tuple[str, ...]  # jobs that go on after an interruption by AWS
    warning: str | None  # of the budget
    limits_kept: tuple[str, ...]  # of the running box, tighter than the config's
    observed: Observed = field(metadata=VIEW_ONLY)
    rules: Config = field(metadata=VIEW_ONLY)  # with the limits that the running box keeps
    stops_at: datetime | None = field(metadata=VIEW_ONLY)  # by AWS; None: its side cannot be armed


def up(cloud: Cloud, report: Reporter, *, wait: timedelta = timedelta(0), loosen: bool | None = False) -> Up:
    """From nothing, from stopped or from half-done to a machine that is set up, synced, Jupyter answering.

    wait: how long to go on asking where AWS has no capacity. loosen: whether a running box gets limits that
    are looser than its own; None raises LooserLimits, before anything is changed, if it would.
    """
    config = cloud.config
    project.folder(config)  # refused now, before anything is made
    kaggle.require_credentials(config)
    key = keys.ensure_key_pair(config.ssh.key)
    cloud.make_clients("ec2")
    (found, observed, acted), _ = side_by_side(
        lambda: bring_up(cloud, key.line, report, wait=wait, loosen=loosen), find.load_meanwhile
    )
    assert observed.instance is not None
    instance = observed.instance
    config, kept = limits.kept(config, instance)
    observed = _counted(cloud, observed, config)
    cloud = cloud.sharing(config)
    with enter.enter(cloud, observed, report) as (connection, host):
        desired = setup.desired(config, market=instance.market)
        machine = setup.check(connection, desired)
        told = _tell_deadline(connection, cloud, observed, machine, found.instance)
        to_set_up = machine.needs_work
        if to_set_up:
            machine = setup.apply(connection, machine, desired, report)
            told = told or _tell_deadline(connection, cloud, observed, machine, found.instance)
        to_sync = project.changed_since(config, machine.project)
        if other := last_project.other(find.memory("project", cloud), config.path):
            report.note(
                f"box {config.name!r} was last brought up from {other}: its ~/work now gets the project of "
                f"{config.path}, too; another `name` or --name makes another box"
            )
        if to_sync:
            project.push(connection, to_sync, report=report)
        resumed = _resume_jobs(connection, instance, report)
    if instance.moved_from:
        observed, _ = converge(cloud, report, images.moved)
    if config.ssh.config:
        ssh_config.write(host)
    if observed.group:
        for line in find.foreign_lines(observed.group.foreign):
            report.note(line)
    price = read_price_of(cloud, instance)
    return Up(
        box=config.name,
        state=str(instance.state),
        changed=acted or told or to_set_up or to_sync is not None or bool(resumed),
        instance=instance.id,
        type=instance.type,
        zone=instance.zone,
        address=instance.address,
        ssh_port=instance.ssh_port,
        usd_hour=price.hour,
        deadline=observed.deadline.at if observed.deadline else None,
        stopped=why(found.instance, found.deadline, machine.watch.stopped if machine.watch else None)
        if found.instance
        else None,
        resumed=resumed,
        warning=spent.budget_warning(config, observed, spent.rates_of(price)),
        limits_kept=kept,
        observed=observed,
        rules=config,
        stops_at=budget.deadline_of(observed, instance),
    )


def plan_up(cloud: Cloud) -> Plan:
    """The steps that `up` would take first. Changes nothing, here or in AWS."""
    public_key = keys.read_public_line(cloud.config.ssh.key) or _A_KEY_TO_COME
    observed = find.observe_box(cloud, ask_caller=True)
    require_own(cloud, observed)
    config, kept = limits.kept(cloud.config, observed.instance)
    steps = _next_up_steps(cloud.sharing(config), public_key, observed, really=False)
    instance = observed.instance
    instance_type = instance.type if instance else config.instance_types[0]
    price, missing = side_by_side(
        lambda: read_price_of(cloud, instance) if instance else spent.first_price(cloud),
        lambda: missing_quota(cloud, instance),
    )
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
        rules=config,
        stops_at=_deadline_after(steps, observed),
        gpu=str(price.gpu or ""),
    )


def _deadline_after(steps: Sequence[Step], observed: Observed) -> datetime | None:
    if observed.instance is None:
        return None
    moved = next((step.at for step in steps if isinstance(step, ArmDeadline)), None)
    return moved or budget.deadline_of(observed, observed.instance)


def bring_up(
    cloud: Cloud,
    public_key: str,
    report: Reporter,
    *,
    wait: timedelta = timedelta(0),
    loosen: bool | None = False,
) -> tuple[Observed, Observed, bool]:
    """What was found, what is now, and whether anything was done. wait, loosen: as for `up`."""
    found: list[Observed] = []
    give_up = time.monotonic() + wait.total_seconds()
    memory = find.memory("last-seen", cloud)
    expected = last_seen.read(memory)
    # Before anything is made: an `up` that is cut is followed by one that asks for all there is.
    last_seen.note(memory, ANYTHING)

    def steps(observed: Observed) -> list[Step]:
        found.append(observed)
        config, kept = limits.kept(cloud.config, observed.instance)
        if kept and loosen is None:
            raise limits.LooserLimits(kept, where=config.name)
        if len(found) == 1:
            _tell_limits(report, cloud.config, observed, kept, loosen=bool(loosen))
        if loosen:
            config = cloud.config
        ruled, observed = cloud.sharing(config), _counted(cloud, observed, config)
        return _next_up_steps(ruled, public_key, observed, really=True)

    while True:
        try:
            observed, acted = converge(
                cloud, report, steps, ask_caller=True, without=_not_counted(cloud.config), expected=expected
            )
            return found[0], observed, acted or len(found) > 1
        except CapacityError as error:
            left = give_up - time.monotonic()
            if left <= 0:
                raise
            report.note(f"{error.what}; asking again for {format_duration(timedelta(seconds=left))}")
            time.sleep(min(left, _ASK_AGAIN_S))
            expected = ANYTHING


def _tell_limits(
    report: Reporter, config: Config, observed: Observed, kept: tuple[str, ...], *, loosen: bool
) -> None:
    """Say which limits the box keeps, or what becomes looser."""
    if kept and not loosen:
        report.note(f"the running box keeps its limits: {'; '.join(kept)}; `gpu-box up --yes` loosens them")
    elif lines := limits.looser(config, observed.instance):
        report.note(f"limits loosened: {'; '.join(lines)}")


def _counted(cloud: Cloud, observed: Observed, config: Config) -> Observed:
    """With what a budget needs to know, if only the box has one. config: with the box's own limits."""
    if config.limits.budget is None or cloud.config.limits.budget is not None:
        return observed
    return find.observe_box(cloud, ask_caller=True)


def _not_counted(config: Config) -> Collection[str]:
    """`up` needs to know of disks for the budget, and of spot requests to cancel a second one."""
    return () if config.limits.budget is not None or config.market != "on-demand" else COSTS


def _resume_jobs(connection: Connection, instance: Instance, report: Reporter) -> tuple[str, ...]:
    """What AWS interrupted goes on. Nothing is ever interrupted on demand: then nobody is asked."""
    if instance.market != "spot":
        return ()
    told = jobs.resume(connection, launched=instance.launched)
    for name, problem in told.items():
        if problem:
            report.note(f"job {name}, interrupted by AWS, does not go on: {problem}")
    return tuple(name for name, problem in told.items() if not problem)


def _tell_deadline(
    connection: Connection,
    cloud: Cloud,
    observed: Observed,
    machine: MachineState,
    before: Instance | None,
) -> bool:
    """Give the box's own watcher the deadline that AWS has. Whether it had another one.

    before: the instance as it was found, with the limits of that time.
    """
    instance, watch = observed.instance, machine.watch
    assert instance is not None
    if watch is None:
        return False
    at = budget.deadline_of(observed, instance)
    if at is not None and watch.deadline and abs(watch.deadline - at) < _SAME_DEADLINE:
        return False
    now = datetime.now(UTC)
    limited = at is None or cloud.config.limits.budget is not None
    rates = spent.rates_of(read_price_of(cloud, instance)) if limited else None
    if at is None:
        # Not to be armed in AWS: then the box alone keeps the limits.
        at = plan.deadline_at(
            cloud.config, instance.launched, budget.budget_end(cloud.config, observed, rates, now=now)
        )
        if watch.deadline and abs(watch.deadline - at) < _SAME_DEADLINE:
            return False
        as_before = before and before.state.bills and not limits.changed(cloud.config, before)
        if as_before and watch.deadline and watch.deadline > max(at, now):
            return False  # moved by `gpu-box extend`
    marks = budget.budget_marks(cloud.config, observed, rates, now=now)
    watcher.set_deadline(connection, at, marks)
    return True


def _next_up_steps(cloud: Cloud, public_key: str, observed: Observed, *, really: bool) -> list[Step]:
    """really: False for a look only; then no key is read to derive the machine's first host key."""
    launch: Launch | None = None
    launchable: Launchable | None = None
    instance = observed.instance
    if instance is None:
        launchable, price = side_by_side(
            lambda: read_launchable(cloud, describe=not really), lambda: spent.first_price(cloud)
        )
        generation = observed.group.generation if observed.group else secrets.token_hex(8)
        launch = Launch(
            generation=generation,
            public_key=public_key,
            user_data=_user_data(cloud.config, generation) if really else "",
        )
    else:
        price = read_price_of(cloud, instance)
    steps = plan.up(
        cloud.config,
        observed,
        now=datetime.now(UTC),
        public_key=public_key,
        launch=launch,
        launchable=launchable,
        rates=spent.rates_of(price),
    )
    if instance is None or (instance.state.bills and _arms_sooner(steps, observed)):
        # Until the deadline has moved, the tag keeps the old limits: the `up` after one that is cut moves it.
        return steps
    return [*limits.note(cloud.config, instance), *steps]


def _arms_sooner(steps: Sequence[Step], observed: Observed) -> bool:
    armed = observed.deadline
    return armed is not None and any(isinstance(s, ArmDeadline) and s.at < armed.at for s in steps)


def _user_data(config: Config, generation: str) -> str:
    first = keys.first_host_key(config.ssh.key, config.name, generation)
    return render_user_data(
        config, host_private_key=first.private_openssh_pem, host_public_key=first.public_line
    )
