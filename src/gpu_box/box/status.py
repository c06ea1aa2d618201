"""What there is of a box, what it costs and where it is reached. Changes nothing in AWS or on the machine.

Apart from `box`, as `status` is waited for and needs none of what `up` reads in.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.console import read_console_record
from gpu_box.aws.observe import MEANS
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box.find import host_of, load_meanwhile, memory, observe_box
from gpu_box.box.spent import _first_market, budget_warning, note, rates_of
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, MachineError
from gpu_box.machine import setup
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import connect
from gpu_box.machine.ssh.early_check import Ahead
from gpu_box.model.machine import MachineState
from gpu_box.model.observed import InstanceState, Observed, Stopped
from gpu_box.model.price import Price
from gpu_box.model.spending import Spent
from gpu_box.model.stop_reason import why
from gpu_box.plan import budget, limits
from gpu_box.store import last_seen


@dataclass(frozen=True, kw_only=True)
class Status:
    observed: Observed
    price: Price | None
    spent: Spent | None  # None where no price is known
    stopped: Stopped | None  # why it is stopped, where it is
    machine: MachineState | None  # None where it is not running, or did not answer
    unreachable: str  # why it did not answer, or ""
    budget_warning: str | None = None  # where half of it or more is spent
    usd_budget: Decimal | None = None  # limits.budget, or the running box's own if that is tighter
    kept: tuple[str, ...] = ()  # limits of the running box that are tighter than the config's


def status(cloud: Cloud) -> Status:
    """What AWS says, and where the machine runs, what it says of itself in one round trip."""
    config = cloud.config
    wanted = setup.desired(config, market=_first_market(config))
    with Ahead(config.name, wanted) as ahead:
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


def _ask_machine(config: Config, observed: Observed, ahead: Ahead) -> tuple[MachineState | None, str]:
    """What it says of itself, and why it did not answer, or ""."""
    instance = observed.instance
    if not instance or instance.state is not InstanceState.RUNNING or not instance.address:
        ssh_config.forget_address(config.name)
        return None, ""
    wanted = setup.desired(config, market=instance.market)
    try:
        host = host_of(config, observed)
        if found := ahead.answer(host, wanted):
            return found, ""
        with connect(host) as connection:
            with suppress(OSError):
                ssh_config.private_config(host)  # to which the next one is asked ahead
            return setup.check(connection, wanted), ""
    except (MachineError, CloudError) as error:
        return None, str(error)
