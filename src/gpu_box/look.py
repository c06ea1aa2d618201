"""What there is of a box, what it costs and where it is reached. Changes nothing in AWS or on the machine.

Apart from `box`, as `status` is waited for and needs none of what `up` reads in.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from gpu_box import budget, hosts, last_seen, ledger, limits
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.console import read_console_record
from gpu_box.aws.observe import ALL_BUT_WHERE, MEANS, observe
from gpu_box.aws.prices import Price, read_price, read_price_of
from gpu_box.config import Config
from gpu_box.errors import CloudError, MachineError
from gpu_box.home import file_of_box
from gpu_box.machine import setup, sshconfig
from gpu_box.machine.ahead import Ahead
from gpu_box.machine.connection import connect, load_libraries
from gpu_box.model import ANYTHING, Expected, Host, Instance, InstanceState, Observed, Stopped
from gpu_box.spending import Rates, Spent
from gpu_box.stopped import why

# For AWS to be asked, its client being made: some ms a call of what reading libraries would take.
_QUESTIONS_OUT_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Status:
    observed: Observed
    price: Price | None
    spent: Spent | None  # None where no price is known
    stopped: Stopped | None  # why it is stopped, where it is
    machine: setup.MachineState | None  # None where it is not running, or did not answer
    unreachable: str  # why it did not answer, or ""
    budget_warning: str | None = None  # where half of it or more is spent
    usd_budget: Decimal | None = None  # limits.budget, or the running box's own if that is tighter
    kept: tuple[str, ...] = ()  # limits of the running box that are tighter than the config's


def status(config: Config) -> Status:
    """What AWS says, and where the machine runs, what it says of itself in one round trip."""
    wanted = setup.desired(config, market=_first_market(config))
    with Ahead(config.name, wanted) as ahead:
        cloud = Cloud(config)
        expected = last_seen.read(memory("last-seen", cloud))
        stopped = expected.state == "stopped"
        observed, left, _ = side_by_side(
            lambda: observe_box(cloud, without=MEANS),
            lambda: read_console_record(cloud, expected.instance_id) if stopped else None,
            lambda: None if stopped or ahead.under_way else load_meanwhile(),
        )
        instance = observed.instance
        if instance and not instance.state.bills and instance.id != expected.instance_id:
            left = read_console_record(cloud, instance.id)
        config, kept = limits.kept(config, instance)
        machine, unreachable = _ask_machine(config, observed, ahead)
    price = read_price_of(cloud, instance) if instance else None
    rates = rates_of(price) if price else None
    if rates:
        note(cloud, observed, rates)
    return Status(
        observed=observed,
        price=price,
        spent=budget.spent(observed, rates, now=datetime.now(UTC)) if rates else None,
        stopped=why(instance, observed.deadline, left) if instance else None,
        machine=machine,
        unreachable=unreachable,
        budget_warning=budget_warning(config, observed, rates),
        usd_budget=config.limits.budget,
        kept=kept,
    )


def _ask_machine(config: Config, observed: Observed, ahead: Ahead) -> tuple[setup.MachineState | None, str]:
    """What it says of itself, and why it did not answer, or ""."""
    instance = observed.instance
    if not instance or instance.state is not InstanceState.RUNNING or not instance.address:
        sshconfig.forget_address(config.name)
        return None, ""
    wanted = setup.desired(config, market=instance.market)
    try:
        host = host_of(config, observed)
        if found := ahead.answer(host, wanted):
            return found, ""
        with connect(host) as connection:
            with suppress(OSError):
                sshconfig.private_config(host)  # to which the next one is asked ahead
            return setup.check(connection, wanted), ""
    except (MachineError, CloudError) as error:
        return None, str(error)


def load_meanwhile() -> None:
    """SSH's libraries, while AWS answers: to be called beside the questions, which must not wait for it."""
    time.sleep(_QUESTIONS_OUT_S)
    load_libraries()


def at(config: Config) -> Observed:
    """What of this box exists in AWS. Changes nothing."""
    return observe(Cloud(config))


def observe_box(
    cloud: Cloud, *, ask_caller: bool = False, without: Collection[str] = (), expected: Expected = ANYTHING
) -> Observed:
    """What AWS tells, and what this laptop remembers of instances that are no more."""
    observed = observe(cloud, ask_caller=ask_caller, without=without, expected=expected)
    # Terminated ones are still shown for an hour: what they cost is in no tag that would be asked.
    there = [instance.id for instance in observed.instances if instance.exists]
    there += [snapshot.id for snapshot in observed.snapshots]
    return replace(observed, gone=tuple(sorted(ledger.gone(memory("ledger", cloud), there).items())))


def where(config: Config, *, entering: bool = True) -> Observed:
    """Its instance and security group alone. entering: by a connection of ours, made ready meanwhile."""
    cloud = Cloud(config)
    cloud.make_clients("ec2")
    observed, _ = side_by_side(
        lambda: observe(cloud, without=ALL_BUT_WHERE), lambda: load_meanwhile() if entering else None
    )
    return observed  # type: ignore[no-any-return]


def host(config: Config, *, entering: bool = True) -> Host:
    """Where the running box is reached. Starts nothing: only `up` does. CloudError if it does not run."""
    return host_of(config, where(config, entering=entering))


def whereabouts(config: Config) -> Host | InstanceState:
    """Where the box is reached; if it does not run, EC2's word for how it is (terminated: there is none)."""
    observed = where(config, entering=False)  # whoever asks has been in
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
    return hosts.host_of(config, instance, observed.group.generation if observed.group else "")


def stopped_because(cloud: Cloud, observed: Observed) -> Stopped | None:
    """Why it is stopped, with what it left on its console; None while it is not."""
    instance = observed.instance
    if instance is None or instance.state not in (InstanceState.STOPPING, InstanceState.STOPPED):
        return None
    return why(instance, observed.deadline, read_console_record(cloud, instance.id))


def foreign_lines(rules: Collection[str]) -> list[str]:
    """What is to be told of them."""
    kept = "somebody's rule, kept: `gpu-box up --remove-foreign-rules` removes it"
    return [f"the security group also lets in {rule} ({kept})" for rule in rules]


def first_price(cloud: Cloud) -> Price:
    """Of what `up` would ask for first."""
    config = cloud.config
    return read_price(cloud, config.instance_types[0], market=_first_market(config), zones=config.zones)


def _first_market(config: Config) -> str:
    return "on-demand" if config.market == "on-demand" else "spot"


def hourly(config: Config, instance: Instance) -> Decimal | None:
    """Dollars an hour that the running instance costs, its address included; None where it is not known."""
    rates = rates_of(read_price_of(Cloud(config), instance))
    return rates.hour if rates else None


def rates_of(price: Price) -> Rates | None:
    """None where the type's price is not known."""
    if price.instance_hour is None:
        return None
    return Rates(hour=price.instance_hour + price.address_hour, disk_month=price.disk_month)


def budget_warning(config: Config, observed: Observed, rates: Rates | None) -> str | None:
    limit = config.limits.budget
    if limit is None or rates is None:
        return None
    return budget.budget_warning(budget.spent(observed, rates, now=datetime.now(UTC)).month, limit)


def remember(cloud: Cloud, observed: Observed) -> None:
    """Before its tags are gone: what the box has cost. Where no price is known, nothing is."""
    rates = rates_of(read_price_of(cloud, observed.instance)) if observed.instance else None
    note(cloud, observed, rates)


def note(cloud: Cloud, observed: Observed, rates: Rates | None) -> None:
    instance, now, known = observed.instance, datetime.now(UTC), memory("ledger", cloud)
    if instance and rates:
        alone = replace(observed, gone=(), snapshots=())  # which may outlive it
        ledger.note(known, instance.id, budget.days(alone, rates, now=now).all, today=now.date())
    for snapshot in observed.snapshots:
        ledger.note(known, snapshot.id, budget.snapshot_days(snapshot, now), today=now.date())


def memory(kind: str, cloud: Cloud) -> Path:
    config = cloud.config
    return file_of_box(kind, cloud=cloud.host, profile=config.profile, region=cloud.region, box=config.name)
