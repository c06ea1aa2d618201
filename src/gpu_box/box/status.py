"""A box's state, cost and address. Changes nothing in AWS or on the machine.

Separate from `up`, because `status` must start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from gpu_box.aws.client import Cloud
from gpu_box.aws.console import observe_with_record
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box.find import foreign_lines, host_of, kept_lines, observe_box
from gpu_box.box.spent import budget_warning, note, rates_of
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, MachineError
from gpu_box.machine import setup, state
from gpu_box.machine.files import variables
from gpu_box.machine.ssh import ssh_config
from gpu_box.model.machine import Host, MachineState
from gpu_box.model.observed import Instance, InstanceState, Observed
from gpu_box.model.results import ImageView, StatusView
from gpu_box.model.stop_reason import why
from gpu_box.plan import budget, limits
from gpu_box.units import format_duration

_LATE = timedelta(minutes=2)  # Scheduler is precise to a minute (EventBridge Scheduler User Guide)
_SOON = timedelta(minutes=10)  # as the watcher warns on the box


def status(cloud: Cloud) -> StatusView:
    """The state in AWS and, if the machine runs, its own in one round trip."""
    config = cloud.config
    wanted = setup.desired(config, market=config.first_market)
    with state.asking(config.name, wanted) as ask:
        observed, left = observe_with_record(cloud, lambda: observe_box(cloud, need="status"))
        instance = observed.instance
        config, kept = limits.kept(config, instance)
        machine, unreachable = _ask_machine(config, observed, ask)
    images = tuple(ImageView(id=i.id, kind=i.kind, state=i.state, created=i.created) for i in observed.images)
    if instance is None:
        return StatusView(
            box=config.name,
            state="none",
            region=observed.region,
            images=images,
            usd_month_images=observed.usd_month_images,
            config=config.path,
            observed=observed,
        )
    price, now = read_price_of(cloud, instance), datetime.now(UTC)
    rates = rates_of(price)
    if rates:
        note(cloud, observed, rates)
    money = budget.spent(observed, rates, now=now) if rates else None
    deadline, missing = _deadline(observed, instance)
    running = instance.state.bills
    return StatusView(
        box=config.name,
        state=str(instance.state),
        region=observed.region,
        instance=instance.id,
        type=instance.type,
        zone=instance.zone,
        address=instance.address,
        since=instance.launched,
        uptime=now - instance.launched if running else None,
        usd_hour=price.hour,
        usd_session=money.session if running and money else None,
        usd_today=money.today if money else None,
        usd_month=money.month if money else None,
        usd_budget=config.limits.budget,
        usd_month_stopped=price.disk_month,
        images=images,
        usd_month_images=observed.usd_month_images,
        deadline=deadline,
        deadline_missing=missing,
        stopped=why(instance, observed.deadline, left, now=now),
        gpu=machine.gpu if machine else "",
        scratch_lost=machine.scratch_lost if machine else 0,
        jobs=machine.jobs if machine else (),
        env=variables.names(config),
        jupyter=_jupyter(machine) if machine else "",
        watch=machine.watch if machine else None,
        steps=(*machine.steps, *machine.project_steps) if machine else (),
        notices=(
            *_notices(observed, machine, unreachable, budget_warning(config, observed, rates), kept),
            *_without_config(config),
        ),
        config=config.path,
        observed=observed,
        unreachable=unreachable,
    )


def _deadline(observed: Observed, instance: Instance) -> tuple[datetime | None, str]:
    """This instance's deadline in AWS, and why it is missing, or ""."""
    armed = observed.deadline
    deadline = budget.deadline_of(observed, instance)
    if missing := observed.deadline_unavailable or observed.deadline_unread:
        return deadline, missing
    if deadline and instance.state.bills and deadline < datetime.now(UTC) - _LATE:
        return deadline, "it has passed and AWS did not stop the box; `gpu-box up` arms it again"
    if armed and armed.broken:
        return deadline, f"{armed.broken}; `gpu-box up` arms it again"
    return deadline, "" if deadline else "`gpu-box up` arms it"


def _jupyter(machine: MachineState) -> str:
    if not machine.jupyter.port:
        return ""
    answers = "answers" if machine.jupyter.answering else "does not answer"
    return f"{answers} on the box's port {machine.jupyter.port}: `gpu-box jupyter` opens it"


def _notices(
    observed: Observed,
    machine: MachineState | None,
    unreachable: str,
    warning: str | None,
    kept: tuple[str, ...],
) -> Iterator[str]:
    """Notices that call for action. warning: of the budget. kept: limits of the running box."""
    if unreachable:
        yield unreachable
    if observed.instance:
        yield from (str(one) for one in observed.instance.unreadable if str(one) not in unreachable)
    if observed.group:
        yield from foreign_lines(observed.group.foreign)
    if observed.relaunched_unread:
        yield f"{observed.relaunched_unread}; another instance of this box may run"
    if warning:
        yield warning
    yield from kept_lines(kept)
    watch = machine.watch if machine else None
    if watch is None:
        return
    used = watch.cause == "idle" and watch.state == "active"
    if watch.cause == "then":
        yield "stops now, because a job asked for it (`gpu-box run --then stop`)"
    elif watch.stops_in is not None and watch.stops_in <= _SOON and not used:
        hold = "keep 2h" if watch.cause == "idle" else "extend 2h"
        yield f"stops in {format_duration(watch.stops_in)}: `gpu-box {hold}` delays that"
    yield from watch.complaints


def _without_config(config: Config) -> list[str]:
    return [] if config.path else ["no config.yaml here or in a parent folder: showing all defaults"]


def _ask_machine(
    config: Config, observed: Observed, ask: Callable[[Host, setup.Desired], MachineState]
) -> tuple[MachineState | None, str]:
    """The machine's state, and why it did not answer, or ""."""
    instance = observed.instance
    if not instance or instance.state is not InstanceState.RUNNING or not instance.address:
        ssh_config.forget_address(config.name)
        return None, ""
    wanted = setup.desired(config, market=instance.market)
    try:
        return ask(host_of(config, observed), wanted), ""
    except (MachineError, CloudError) as error:
        return None, str(error)
