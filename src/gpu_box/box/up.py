"""`up`: bring the box up in AWS, then set up its machine.

`up` repeats observe, plan, act until nothing is left to do, so it may be killed at any point and run again,
from this laptop or another.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gpu_box.aws.client import Cloud, meanwhile
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.aws.steps.deadline import NotArmable, NotArmed
from gpu_box.box import enter, find, last_session, late_deadline, project, spent
from gpu_box.box.converge import converge
from gpu_box.box.facts import FactsReader
from gpu_box.box.usable import require_usable
from gpu_box.config.model import Config
from gpu_box.errors import CapacityError
from gpu_box.machine import jobs, reboot, setup, watcher
from gpu_box.machine.files import variables
from gpu_box.machine.ssh import keys, ssh_config
from gpu_box.machine.ssh.connection import Connection, load_libraries
from gpu_box.model.machine import MachineState
from gpu_box.model.observed import Instance, Observed, Stopped
from gpu_box.model.progress import Reporter
from gpu_box.model.results import VIEW_ONLY
from gpu_box.model.stop_reason import why
from gpu_box.plan import budget, images, limits
from gpu_box.plan.box import count_guessed
from gpu_box.plan.deadline import deadline_at
from gpu_box.plan.steps import Step
from gpu_box.plan.up import plan_up
from gpu_box.units import format_duration

_SAME_DEADLINE = timedelta(minutes=2)  # a budget's end moves a little from one reading to the next
_ASK_AGAIN_S = 20.0  # capacity comes back within seconds to hours


@dataclass(frozen=True, kw_only=True)
class Up:
    box: str
    state: str  # EC2's state
    changed: bool  # whether anything was done
    instance: str
    type: str
    zone: str
    address: str | None
    ssh_port: int
    usd_hour: Decimal | None
    deadline: datetime | None  # when AWS stops it; null: not armed
    stopped: Stopped | None  # the last stop
    resumed: tuple[str, ...]  # jobs resumed after an interruption by AWS
    warning: str | None  # of the budget
    limits_kept: tuple[str, ...]  # of the running box, tighter than the config's
    observed: Observed = field(metadata=VIEW_ONLY)
    rules: Config = field(metadata=VIEW_ONLY)  # with the limits that the running box keeps
    stops_at: datetime | None = field(metadata=VIEW_ONLY)  # by AWS; None: cannot be armed


def up(
    cloud: Cloud,
    report: Reporter,
    *,
    wait: timedelta = timedelta(0),
    loosen: bool | None = False,
    env: variables.Variables | None = None,
) -> Up:
    """Create or start the box, set it up and sync the project, with Jupyter running afterwards.

    wait: how long to keep trying while AWS has no capacity. loosen: whether a running box gets looser limits
    than its own; None raises LooserLimits instead, before anything is changed. env: from `require_usable`,
    if it has been called.
    """
    config = cloud.config
    env = env or require_usable(config)
    key = keys.ensure_key_pair(config.ssh.key)
    found, observed, acted = meanwhile(
        cloud, lambda: bring_up(cloud, key.line, report, wait=wait, loosen=loosen), load_libraries
    )
    assert observed.instance is not None
    instance = observed.instance
    config, kept = limits.kept(config, instance)
    observed = _counted(cloud, observed, config)
    cloud = cloud.sharing(config)
    with (
        late_deadline.armed_meanwhile(cloud, observed, report),
        enter.enter(cloud, observed, report) as (connection, host),
        contextlib.ExitStack() as after_reboot,
    ):
        desired = setup.desired(config, market=instance.market, env=env)
        machine = setup.check(connection, desired)
        observed = last_session.corrected(cloud, observed, machine, report)
        new_deadline = _set_deadline(connection, cloud, observed, machine, found.instance)
        to_set_up = machine.needs_work
        if to_set_up:
            ahead = project.ahead(connection, config, desired, machine.project, report)
            machine = setup.apply(connection, machine, desired, report, ahead)
            # Once only: if the reason remains after a reboot, set-up reports it as a failure.
            if machine.reboot and (again := reboot.reboot(connection, machine.reboot, report)):
                connection = after_reboot.enter_context(again)
                machine = setup.apply(connection, setup.check(connection, desired), desired, report)
            observed = last_session.corrected(cloud, observed, machine, report)
            new_deadline = _set_deadline(connection, cloud, observed, machine, found.instance) or new_deadline
        to_sync = project.changed_since(config, machine.project)
        if config.path is None:
            report.note("no project was synced: there is no config.yaml here (`gpu-box init` writes one)")
        if to_sync:
            project.push(connection, to_sync, report)
        if to_sync or to_set_up or machine.project_needs_work:
            setup.apply_project(connection, desired, report)
        resumed = _resume_jobs(connection, instance, report)
    if instance.moved_from:
        observed, _ = converge(cloud, report, images.moved)
    if config.ssh.config:
        ssh_config.write(host, forward_agent=config.ssh.forward_agent)
    if observed.group:
        for line in find.foreign_lines(observed.group.foreign):
            report.note(line)
    if observed.deadline_unread:
        report.note(f"{observed.deadline_unread}; the running box keeps its deadline")
    price = read_price_of(cloud, instance)
    return Up(
        box=config.name,
        state=str(instance.state),
        changed=acted
        or new_deadline
        or to_set_up
        or machine.project_needs_work
        or to_sync is not None
        or bool(resumed),
        instance=instance.id,
        type=instance.type,
        zone=instance.zone,
        address=instance.address,
        ssh_port=instance.ssh_port,
        usd_hour=price.hour,
        deadline=observed.deadline.at if observed.deadline else None,
        stopped=why(
            found.instance,
            found.deadline,
            machine.watch.stopped if machine.watch else None,
            now=datetime.now(UTC),
        )
        if found.instance
        else None,
        resumed=resumed,
        warning=spent.budget_warning(config, observed, spent.rates_of(price)),
        limits_kept=kept,
        observed=observed,
        rules=config,
        stops_at=budget.deadline_of(observed, instance),
    )


def bring_up(
    cloud: Cloud,
    public_key: str,
    report: Reporter,
    *,
    wait: timedelta = timedelta(0),
    loosen: bool | None = False,
) -> tuple[Observed, Observed, bool]:
    """The state before and after, and whether anything was done. wait, loosen: as for `up`."""
    found: list[Observed] = []
    give_up = time.monotonic() + wait.total_seconds()
    facts = FactsReader(cloud, public_key)

    def steps(observed: Observed) -> list[Step]:
        found.append(observed)
        config, kept = limits.kept(cloud.config, observed.instance)
        if kept and loosen is None:
            raise limits.LooserLimits(kept, where=config.name)
        if len(found) == 1:
            _note_limits(report, cloud.config, observed, kept, loosen=bool(loosen))
        if loosen:
            config = limits.with_run(cloud.config, observed.instance)
        known = facts.of(_counted(cloud, observed, config))
        return count_guessed(config, known) or plan_up(config, known)

    while True:
        try:
            observed, acted = converge(cloud, report, steps, need="up")
            return found[0], observed, acted or len(found) > 1
        except NotArmed as error:
            before = found[0].instance
            if before is None or not before.state.bills:  # launched or started here, and not in use yet
                remedy = error.remedy if isinstance(error, NotArmable) else None
                late_deadline.stop_unguarded(cloud, report, error, remedy=remedy)
            raise
        except CapacityError as error:
            left = give_up - time.monotonic()
            if left <= 0:
                raise
            report.note(f"{error.what}; trying again for {format_duration(timedelta(seconds=left))}")
            time.sleep(min(left, _ASK_AGAIN_S))
            facts = FactsReader(cloud, public_key)  # prices may have changed


def _note_limits(
    report: Reporter, config: Config, observed: Observed, kept: tuple[str, ...], *, loosen: bool
) -> None:
    """Note which limits the box keeps, or which become looser."""
    instance = observed.instance
    if instance and instance.state.bills and (run := limits.run_shown(instance)):
        more = "only `gpu-box extend`, in a terminal, gives it more"
        if limits.run_extended(instance):
            more = "a person has extended it, and --for and --at-most do not take that back"
        report.note(f"this run of the box is limited to {run}: {more}")
    if kept and not loosen:
        report.note(f"the running box keeps its limits: {'; '.join(kept)}; `gpu-box up --yes` loosens them")
    elif lines := limits.looser(config, observed.instance):
        report.note(f"limits loosened: {'; '.join(lines)}")


def _counted(cloud: Cloud, observed: Observed, config: Config) -> Observed:
    """Observe again, with costs, if only the running box has a budget. config: with the box's limits."""
    if config.limits.budget is None or cloud.config.limits.budget is not None:
        return observed
    return find.observe_box(cloud, need="plan")


def _resume_jobs(connection: Connection, instance: Instance, report: Reporter) -> tuple[str, ...]:
    """Resume jobs that a spot interruption ended."""
    if instance.market != "spot":
        return ()
    problems = jobs.resume(connection, launched=instance.launched)
    for name, problem in problems.items():
        if problem:
            report.note(f"job {name}, interrupted by AWS, cannot be resumed: {problem}")
    return tuple(name for name, problem in problems.items() if not problem)


def _set_deadline(
    connection: Connection, cloud: Cloud, observed: Observed, machine: MachineState, before: Instance | None
) -> bool:
    """Give AWS's deadline to the box's watcher. Returns whether the watcher had another one.

    before: the instance as first observed, with its limits at that time.
    """
    instance, watch = observed.instance, machine.watch
    assert instance is not None
    if watch is None:
        return False
    at = budget.deadline_of(observed, instance)
    if at is not None and watch.deadline and abs(watch.deadline - at) < _SAME_DEADLINE:
        return False
    if at is None and observed.deadline_unread and watch.deadline:
        return False  # the box still has the armed one
    now = datetime.now(UTC)
    limited = at is None or cloud.config.limits.budget is not None
    rates = spent.rates_of(read_price_of(cloud, instance)) if limited else None
    if at is None:
        # AWS's deadline cannot be armed: the box alone enforces the limits.
        at = deadline_at(
            cloud.config, instance.launched, budget.earliest_end(cloud.config, observed, rates, now=now)
        )
        if watch.deadline and abs(watch.deadline - at) < _SAME_DEADLINE:
            return False
        as_before = before and before.state.bills and not limits.changed(cloud.config, before)
        if as_before and watch.deadline and watch.deadline > max(at, now):
            return False  # moved by `gpu-box extend`
    marks = budget.budget_marks(cloud.config, observed, rates, now=now)
    watcher.set_deadline(connection, at, marks)
    return True
