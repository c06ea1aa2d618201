"""The story of a box: up, stop, down, status. What AWS found is handed to the machine here, and only here.

Every function observes, plans, acts, and observes again until nothing is left to do; so each may be killed
at any point and run again, from this laptop or another.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from gpu_box import budget, entry, image_plan, last_seen, ledger, plan, project
from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.console import read_console_record
from gpu_box.aws.launchable import read_launchable
from gpu_box.aws.observe import COSTS, MEANS, observe
from gpu_box.aws.prices import Price, read_price, read_price_of
from gpu_box.aws.quotas import missing_quota
from gpu_box.aws.userdata import render_user_data
from gpu_box.config import Config
from gpu_box.errors import CapacityError, CloudError, MachineError
from gpu_box.home import file_of_box
from gpu_box.machine import jobs, kaggle, keys, setup, sshconfig, watcher
from gpu_box.machine.connection import Connection, connect, load_libraries
from gpu_box.model import (
    ANYTHING,
    Expected,
    Host,
    Instance,
    InstanceState,
    Launch,
    Launchable,
    Observed,
    Reporter,
    Stopped,
)
from gpu_box.spending import Rates, Spent
from gpu_box.steps import DeleteSnapshot, Step, Terminate
from gpu_box.stopped import why
from gpu_box.units import format_duration

# Rounds of observe, plan, act: `up` from nothing takes four. More means that something undoes our work.
_MAX_ROUNDS = 12
_A_KEY_TO_COME = "ssh-ed25519 AAAA that-up-makes"
_SAME_DEADLINE = timedelta(minutes=2)  # a budget's end moves a little from one look to the next
_ASK_AGAIN_S = 20.0  # capacity comes back when somebody else's instance goes: seconds to hours


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What `up` would do next, and what it costs."""

    observed: Observed
    steps: tuple[Step, ...]
    price: Price  # of the type that runs, or would be tried first
    instance_type: str
    missing_quota: str | None  # why the account may not run it


@dataclass(frozen=True, kw_only=True)
class Up:
    """A box that is up: where it is, and how its machine was found."""

    observed: Observed
    instance: Instance
    host: Host
    machine: setup.MachineState
    price: Price
    stopped: Stopped | None  # why it was stopped, where it was
    changed: bool  # whether anything had to be done
    budget_warning: str | None  # where half of it or more is spent
    resumed: tuple[str, ...]  # jobs that a spot interruption had ended, and that run again


@dataclass(frozen=True, kw_only=True)
class Status:
    observed: Observed
    price: Price | None
    spent: Spent | None  # None where no price is known
    stopped: Stopped | None  # why it is stopped, where it is
    machine: setup.MachineState | None  # None where it is not running, or did not answer
    unreachable: str  # why it did not answer, or ""
    budget_warning: str | None = None  # where half of it or more is spent


def up(config: Config, report: Reporter, *, wait: timedelta = timedelta(0)) -> Up:
    """From nothing, from stopped or from half-done to a machine that is set up, synced, Jupyter answering.

    wait: how long to go on asking where AWS has no capacity.
    """
    project.folder(config)  # refused now, before anything is made
    kaggle.require_credentials(config)
    key = keys.ensure_key_pair(config.ssh.key)
    cloud = Cloud(config)
    (found, observed, acted), _ = side_by_side(
        lambda: bring_up(cloud, key.line, report, wait=wait), load_libraries
    )
    assert observed.instance is not None
    instance = observed.instance
    with entry.enter(cloud, observed, report) as (connection, host):
        desired = setup.desired(config, market=instance.market)
        machine = setup.check(connection, desired)
        told = _tell_deadline(connection, cloud, observed, machine)
        to_set_up = machine.needs_work
        if to_set_up:
            machine = setup.apply(connection, machine, desired, report)
            told = told or _tell_deadline(connection, cloud, observed, machine)
        to_sync = not project.is_current(config, machine.project)
        if to_sync:
            project.push(connection, config, report=report)
        resumed = _resume_jobs(connection, instance, report)
    if instance.moved_from:
        observed, _ = converge(cloud, report, image_plan.moved)
    if config.ssh.config:
        sshconfig.write(host)
    if observed.group:
        for line in foreign_lines(observed.group.foreign):
            report.note(line)
    price = read_price_of(cloud, instance)
    return Up(
        observed=observed,
        instance=instance,
        host=host,
        machine=machine,
        price=price,
        stopped=why(found.instance, found.deadline, machine.watch.stopped if machine.watch else None)
        if found.instance
        else None,
        changed=acted or told or to_set_up or to_sync or bool(resumed),
        budget_warning=_budget_warning(config, observed, rates_of(price)),
        resumed=resumed,
    )


def plan_up(config: Config) -> Planned:
    """The steps that `up` would take first. Changes nothing, here or in AWS."""
    public_key = keys.read_public_line(config.ssh.key) or _A_KEY_TO_COME
    cloud = Cloud(config)
    observed = observe_box(cloud, ask_caller=True)
    steps = _next_up_steps(cloud, public_key, observed, really=False)
    instance = observed.instance
    instance_type = instance.type if instance else config.instance_types[0]
    price, missing = side_by_side(
        lambda: read_price_of(cloud, instance) if instance else first_price(cloud),
        lambda: missing_quota(cloud, instance),
    )
    return Planned(
        observed=observed,
        steps=tuple(steps),
        price=price,
        instance_type=instance_type,
        missing_quota=missing,
    )


def foreign_lines(rules: Collection[str]) -> list[str]:
    """What is to be told of them."""
    kept = "somebody's rule, kept: `gpu-box up --remove-foreign-rules` removes it"
    return [f"the security group also lets in {rule} ({kept})" for rule in rules]


def stop(config: Config, report: Reporter) -> Observed:
    """The meter off; done only once EC2 says `stopped`. The disk stays."""
    return halt(Cloud(config), report)


def halt(cloud: Cloud, report: Reporter) -> Observed:
    """AWS's part of `stop`: what the session cost is noted now, so that the next start has one call less."""

    def steps(observed: Observed) -> list[Step]:
        instance = observed.instance
        if instance is None or instance.state is not InstanceState.STOPPED:
            return plan.stop(observed)
        return plan.stop(observed, rates=rates_of(read_price_of(cloud, instance)))

    observed, _ = converge(cloud, report, steps, without=COSTS)
    if observed.instance and observed.deadline_role_arn:
        state = Expected(
            state="stopped", instance_id=observed.instance.id, role_arn=observed.deadline_role_arn
        )
        last_seen.note(_memory("last-seen", cloud), state)
    return observed


def down(config: Config, report: Reporter, *, keep_images: bool = False) -> Observed:
    """Everything that this box made in AWS, removed; then read back that nothing is left.

    keep_images: but for its baked image, from which the next `up` launches.
    """
    observed = bring_down(Cloud(config), report, keep_images=keep_images)
    sshconfig.remove(config.name)
    return observed


def bring_down(cloud: Cloud, report: Reporter, *, keep_images: bool = False) -> Observed:
    """AWS's part of it."""

    observed, _ = converge(cloud, report, lambda seen: plan.down(seen, keep_images=keep_images))
    rest = replace(observed, images=(), snapshots=()) if keep_images else observed
    if not rest.nothing_left:
        raise CloudError(
            "something of this box is still there",
            remedy="Run `gpu-box down` again; `gpu-box status` shows it.",
        )
    last_seen.forget(_memory("last-seen", cloud))
    return observed


def status(config: Config) -> Status:
    """What AWS says, and where the machine runs, what it says of itself in one round trip."""
    cloud = Cloud(config)
    expected = last_seen.read(_memory("last-seen", cloud))
    stopped = expected.state == "stopped"
    observed, left, _ = side_by_side(
        lambda: observe_box(cloud, without=MEANS),
        lambda: read_console_record(cloud, expected.instance_id) if stopped else None,
        lambda: None if stopped else load_libraries(),
    )
    instance = observed.instance
    if instance and not instance.state.bills and instance.id != expected.instance_id:
        left = read_console_record(cloud, instance.id)
    machine, unreachable = None, ""
    if instance and instance.state is InstanceState.RUNNING and instance.address:
        try:
            with connect(host_of(config, observed)) as connection:
                machine = setup.check(connection, setup.desired(config, market=instance.market))
        except MachineError as error:
            unreachable = str(error)
    price = read_price_of(cloud, instance) if instance else None
    rates = rates_of(price) if price else None
    if rates:
        _note(cloud, observed, rates)
    return Status(
        observed=observed,
        price=price,
        spent=budget.spent(observed, rates, now=datetime.now(UTC)) if rates else None,
        stopped=why(instance, observed.deadline, left) if instance else None,
        machine=machine,
        unreachable=unreachable,
        budget_warning=_budget_warning(config, observed, rates),
    )


def observe_box(
    cloud: Cloud, *, ask_caller: bool = False, without: Collection[str] = (), expected: Expected = ANYTHING
) -> Observed:
    """What AWS tells, and what this laptop remembers of instances that are no more."""
    observed = observe(cloud, ask_caller=ask_caller, without=without, expected=expected)
    # Terminated ones are still shown for an hour: what they cost is in no tag that would be asked.
    there = [instance.id for instance in observed.instances if instance.exists]
    there += [snapshot.id for snapshot in observed.snapshots]
    return replace(observed, gone=tuple(sorted(ledger.gone(_memory("ledger", cloud), there).items())))


def remember(cloud: Cloud, observed: Observed) -> None:
    """Before its tags are gone: what the box has cost. Where no price is known, nothing is."""
    rates = rates_of(read_price_of(cloud, observed.instance)) if observed.instance else None
    _note(cloud, observed, rates)


def _note(cloud: Cloud, observed: Observed, rates: Rates | None) -> None:
    instance, now, known = observed.instance, datetime.now(UTC), _memory("ledger", cloud)
    if instance and rates:
        alone = replace(observed, gone=(), snapshots=())  # which may outlive it
        ledger.note(known, instance.id, budget.days(alone, rates, now=now).all, today=now.date())
    for snapshot in observed.snapshots:
        ledger.note(known, snapshot.id, budget.snapshot_days(snapshot, now), today=now.date())


def _budget_warning(config: Config, observed: Observed, rates: Rates | None) -> str | None:
    limit = config.limits.budget
    if limit is None or rates is None:
        return None
    return budget.budget_warning(budget.spent(observed, rates, now=datetime.now(UTC)).month, limit)


def _memory(kind: str, cloud: Cloud) -> Path:
    config = cloud.config
    return file_of_box(kind, cloud=cloud.host, profile=config.profile, region=cloud.region, box=config.name)


def remove_foreign_rules(config: Config, consented: Collection[str], report: Reporter) -> None:
    """consented: rules of the security group that gpu-box did not make, as `Observed` words them."""
    converge(Cloud(config), report, lambda seen: plan.remove_foreign_rules(seen, consented))


def look(config: Config) -> Observed:
    """What of this box exists in AWS. Changes nothing."""
    return observe(Cloud(config))


def host(config: Config) -> Host:
    """Where the running box is reached. Starts nothing: only `up` does. CloudError if it does not run."""
    return host_of(config, observe(Cloud(config)))


def whereabouts(config: Config) -> Host | InstanceState:
    """Where the box is reached; if it does not run, EC2's word for how it is (terminated: there is none)."""
    observed = observe(Cloud(config))
    instance = observed.instance
    if instance is None:
        return InstanceState.TERMINATED
    if instance.state is InstanceState.RUNNING and instance.address:
        return host_of(config, observed)
    return InstanceState.PENDING if instance.state is InstanceState.RUNNING else instance.state


def host_of(config: Config, observed: Observed) -> Host:
    instance = observed.instance
    if instance is None:
        raise CloudError(f"there is no box {config.name!r}", remedy="`gpu-box up` makes it.")
    if instance.state is not InstanceState.RUNNING or not instance.address:
        raise CloudError(f"box {config.name!r} is {instance.state}", remedy="`gpu-box up` starts it.")
    return entry.host_of(config, instance, observed.group.generation if observed.group else "")


def hourly(config: Config, instance: Instance) -> Decimal | None:
    """Dollars an hour that the running instance costs, its address included; None where it is not known."""
    rates = rates_of(read_price_of(Cloud(config), instance))
    return rates.hour if rates else None


def stopped_because(cloud: Cloud, observed: Observed) -> Stopped | None:
    """Why it is stopped, with what it left on its console; None while it is not."""
    instance = observed.instance
    if instance is None or instance.state not in (InstanceState.STOPPING, InstanceState.STOPPED):
        return None
    return why(instance, observed.deadline, read_console_record(cloud, instance.id))


def first_price(cloud: Cloud) -> Price:
    """Of what `up` would ask for first."""
    config = cloud.config
    market = "on-demand" if config.market == "on-demand" else "spot"
    return read_price(cloud, config.instance_types[0], market=market, zones=config.zones)


def rates_of(price: Price) -> Rates | None:
    """None where the type's price is not known."""
    if price.instance_hour is None:
        return None
    return Rates(hour=price.instance_hour + price.address_hour, disk_month=price.disk_month)


def bring_up(
    cloud: Cloud, public_key: str, report: Reporter, *, wait: timedelta = timedelta(0)
) -> tuple[Observed, Observed, bool]:
    """What was found, what is now, and whether anything was done. wait: as for `up`."""
    found: list[Observed] = []
    give_up = time.monotonic() + wait.total_seconds()
    memory = _memory("last-seen", cloud)
    expected = last_seen.read(memory)
    # Before anything is made: an `up` that is cut is followed by one that asks for all there is.
    last_seen.note(memory, ANYTHING)

    def steps(observed: Observed) -> list[Step]:
        found.append(observed)
        return _next_up_steps(cloud, public_key, observed, really=True)

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
    connection: Connection, cloud: Cloud, observed: Observed, machine: setup.MachineState
) -> bool:
    """The box's own watcher goes by the deadline that AWS has. Whether it had to be told."""
    instance, watch = observed.instance, machine.watch
    assert instance is not None
    if watch is None:
        return False
    at = budget.deadline_of(observed, instance)
    if at is not None and watch.deadline and abs(watch.deadline - at) < _SAME_DEADLINE:
        return False
    now = datetime.now(UTC)
    limited = at is None or cloud.config.limits.budget is not None
    rates = rates_of(read_price_of(cloud, instance)) if limited else None
    if at is None:
        # Not to be armed in AWS: then the box alone keeps the limits.
        at = plan.deadline_at(
            cloud.config, instance.launched, budget.budget_end(cloud.config, observed, rates, now=now)
        )
        if watch.deadline and abs(watch.deadline - at) < _SAME_DEADLINE:
            return False
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
            lambda: read_launchable(cloud, describe=not really), lambda: first_price(cloud)
        )
        generation = observed.group.generation if observed.group else secrets.token_hex(8)
        launch = Launch(
            generation=generation,
            public_key=public_key,
            user_data=_user_data(cloud.config, generation) if really else "",
        )
    else:
        price = read_price_of(cloud, instance)
    return plan.up(
        cloud.config,
        observed,
        now=datetime.now(UTC),
        public_key=public_key,
        launch=launch,
        launchable=launchable,
        rates=rates_of(price),
    )


def _user_data(config: Config, generation: str) -> str:
    first = keys.first_host_key(config.ssh.key, config.name, generation)
    return render_user_data(
        config, host_private_key=first.private_openssh_pem, host_public_key=first.public_line
    )


def converge(
    cloud: Cloud,
    report: Reporter,
    next_steps: Callable[[Observed], list[Step]],
    *,
    ask_caller: bool = False,
    without: Collection[str] = (),
    expected: Expected = ANYTHING,
) -> tuple[Observed, bool]:
    """Observe, plan, act, until the plan is empty: what is then, and whether anything was done.

    Between rounds AWS is asked again only where its answers have not told all that a round changed.
    """
    observed = observe_box(cloud, ask_caller=ask_caller, without=without, expected=expected)
    acted = False
    for _ in range(_MAX_ROUNDS):
        steps = next_steps(observed)
        if not steps:
            return observed, acted
        if any(isinstance(step, Terminate | DeleteSnapshot) for step in steps):
            remember(cloud, observed)
        observed, whole = act(cloud, steps, report, observed)
        acted = True
        if not whole:
            unarmable = observed.deadline_unavailable
            observed = observe_box(cloud, ask_caller=ask_caller, without=without)
            if unarmable:
                observed = replace(observed, deadline_unavailable=unarmable)
    raise CloudError(
        "the box does not settle: something else keeps changing it",
        where="; ".join(str(step) for step in steps),
        remedy="See whether another gpu-box, a console or a script works on it, then run this again.",
    )
