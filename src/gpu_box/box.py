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

from gpu_box import budget, entry, image_plan, last_project, last_seen, limits, look, plan, project
from gpu_box.aws.act import act
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.launchable import read_launchable
from gpu_box.aws.observe import COSTS
from gpu_box.aws.prices import Price, read_price_of
from gpu_box.aws.quotas import missing_quota
from gpu_box.aws.userdata import render_user_data
from gpu_box.config import Config
from gpu_box.errors import CapacityError, CloudError
from gpu_box.machine import jobs, kaggle, keys, setup, sshconfig, watcher
from gpu_box.machine.connection import Connection
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
    config: Config  # with the limits that the running box keeps
    kept: tuple[str, ...]  # a line for each of them


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
    config: Config  # with the limits that the running box keeps
    kept: tuple[str, ...]  # a line for each of them


def up(
    config: Config, report: Reporter, *, wait: timedelta = timedelta(0), loosen: bool | None = False
) -> Up:
    """From nothing, from stopped or from half-done to a machine that is set up, synced, Jupyter answering.

    wait: how long to go on asking where AWS has no capacity. loosen: whether a running box gets limits that
    are looser than its own; None raises LooserLimits, before anything is changed, if it would.
    """
    project.folder(config)  # refused now, before anything is made
    kaggle.require_credentials(config)
    key = keys.ensure_key_pair(config.ssh.key)
    cloud = Cloud(config)
    cloud.make_clients("ec2")
    (found, observed, acted), _ = side_by_side(
        lambda: bring_up(cloud, key.line, report, wait=wait, loosen=loosen), look.load_meanwhile
    )
    assert observed.instance is not None
    instance = observed.instance
    config, kept = limits.kept(config, instance)
    observed = _counted(cloud, observed, config)
    cloud = cloud.sharing(config)
    with entry.enter(cloud, observed, report) as (connection, host):
        desired = setup.desired(config, market=instance.market)
        machine = setup.check(connection, desired)
        told = _tell_deadline(connection, cloud, observed, machine)
        to_set_up = machine.needs_work
        if to_set_up:
            machine = setup.apply(connection, machine, desired, report)
            told = told or _tell_deadline(connection, cloud, observed, machine)
        to_sync = not project.is_current(config, machine.project)
        if other := last_project.other(look.memory("project", cloud), config.path):
            report.note(
                f"box {config.name!r} was last brought up from {other}: its ~/work now gets the project of "
                f"{config.path}, too; another `name` or --name makes another box"
            )
        if to_sync:
            project.push(connection, config, report=report)
        resumed = _resume_jobs(connection, instance, report)
    if instance.moved_from:
        observed, _ = converge(cloud, report, image_plan.moved)
    if config.ssh.config:
        sshconfig.write(host)
    if observed.group:
        for line in look.foreign_lines(observed.group.foreign):
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
        budget_warning=look.budget_warning(config, observed, look.rates_of(price)),
        resumed=resumed,
        config=config,
        kept=kept,
    )


def plan_up(config: Config) -> Planned:
    """The steps that `up` would take first. Changes nothing, here or in AWS."""
    public_key = keys.read_public_line(config.ssh.key) or _A_KEY_TO_COME
    cloud = Cloud(config)
    observed = look.observe_box(cloud, ask_caller=True)
    config, kept = limits.kept(config, observed.instance)
    steps = _next_up_steps(cloud.sharing(config), public_key, observed, really=False)
    instance = observed.instance
    instance_type = instance.type if instance else config.instance_types[0]
    price, missing = side_by_side(
        lambda: read_price_of(cloud, instance) if instance else look.first_price(cloud),
        lambda: missing_quota(cloud, instance),
    )
    return Planned(
        observed=observed,
        steps=tuple(steps),
        price=price,
        instance_type=instance_type,
        missing_quota=missing,
        config=config,
        kept=kept,
    )


def stop(config: Config, report: Reporter) -> Observed:
    """The meter off; done only once EC2 says `stopped`. The disk stays."""
    observed = halt(Cloud(config), report)
    sshconfig.forget_address(config.name)
    return observed


def halt(cloud: Cloud, report: Reporter) -> Observed:
    """AWS's part of `stop`: what the session cost is noted now, so that the next start has one call less."""

    def steps(observed: Observed) -> list[Step]:
        instance = observed.instance
        if instance is None or instance.state is not InstanceState.STOPPED:
            return plan.stop(observed)
        return plan.stop(observed, rates=look.rates_of(read_price_of(cloud, instance)))

    observed, _ = converge(cloud, report, steps, without=COSTS)
    if observed.instance and observed.deadline_role_arn:
        state = Expected(
            state="stopped", instance_id=observed.instance.id, role_arn=observed.deadline_role_arn
        )
        last_seen.note(look.memory("last-seen", cloud), state)
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
    last_seen.forget(look.memory("last-seen", cloud))
    return observed


def remove_foreign_rules(config: Config, consented: Collection[str], report: Reporter) -> None:
    """consented: rules of the security group that gpu-box did not make, as `Observed` words them."""
    converge(Cloud(config), report, lambda seen: plan.remove_foreign_rules(seen, consented))


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
    memory = look.memory("last-seen", cloud)
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
    return look.observe_box(cloud, ask_caller=True)


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
    rates = look.rates_of(read_price_of(cloud, instance)) if limited else None
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
            lambda: read_launchable(cloud, describe=not really), lambda: look.first_price(cloud)
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
        rates=look.rates_of(price),
    )
    return [*(limits.note(cloud.config, instance) if instance else []), *steps]


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
    observed = look.observe_box(cloud, ask_caller=ask_caller, without=without, expected=expected)
    acted = False
    for _ in range(_MAX_ROUNDS):
        steps = next_steps(observed)
        if not steps:
            return observed, acted
        if any(isinstance(step, Terminate | DeleteSnapshot) for step in steps):
            look.remember(cloud, observed)
        observed, whole = act(cloud, steps, report, observed)
        acted = True
        if not whole:
            unarmable = observed.deadline_unavailable
            observed = look.observe_box(cloud, ask_caller=ask_caller, without=without)
            if unarmable:
                observed = replace(observed, deadline_unavailable=unarmable)
    raise CloudError(
        "the box does not settle: something else keeps changing it",
        where="; ".join(str(step) for step in steps),
        remedy="See whether another gpu-box, a console or a script works on it, then run this again.",
    )
