"""The life of a box: init, plan, up, status, ls, stop, down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.cli.forgotten import mention_forgotten
from gpu_box.units import format_duration, format_money, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_box import box
    from gpu_box.config import Config
    from gpu_box.view.status import StatusView


_SOON = timedelta(minutes=10)  # as the watcher warns on the box


def register(app: typer.Typer) -> None:
    for command in (init, plan, up, status, ls, resize, stop, down):
        app.command(rich_help_panel="The box")(command)


def init(
    context: typer.Context,
    region: Annotated[str | None, typer.Option("--region", help="AWS region.")] = None,
    instance_type: Annotated[str | None, typer.Option("--instance-type", help="GPU instance type.")] = None,
    max_hours: Annotated[
        str | None, typer.Option("--max-hours", help="AWS stops it after this long: 12h.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a config.yaml that is there.")] = False,
) -> None:
    """Write a config.yaml: asks for region, instance type and time limit; each has a default."""
    from gpu_box import initialize

    opts = options(context)
    path = opts.config or Path("config.yaml")
    initialize.refuse_existing(path, force=force)
    asked = initialize.Answers(
        name=opts.name or initialize.DEFAULTS.name,
        region=region or _ask(context, "AWS region", initialize.default_region()),
        instance_type=instance_type
        or _ask(context, "Instance type", initialize.DEFAULTS.instance_type, initialize.type_choices()),
        max_hours=max_hours or _ask(context, "Stop it at the latest after", initialize.DEFAULTS.max_hours),
    )
    initialize.write(path, asked)
    result = {"path": str(path), "region": asked.region, "instance_type": asked.instance_type}
    opts.show(
        result, lambda: f"{path} written. Next: `gpu-box plan` shows what it costs, `gpu-box up` makes it."
    )


def plan(context: typer.Context) -> None:
    """What `up` would do, what it costs, and when it stops by itself. Changes nothing."""
    from gpu_box import box
    from gpu_box.view.receipt import receipt

    opts = options(context)
    config = opts.load()
    planned = box.plan_up(config)
    result = {
        "box": config.name,
        "region": planned.observed.region,
        "instance_type": planned.instance_type,
        "steps": [{"mark": s.mark, "title": s.title, "line": str(s)} for s in planned.steps],
        "usd_hour": planned.price.hour,
        "usd_hour_on_demand": planned.price.hour_on_demand,
        "usd_month_stopped": planned.price.disk_month,
        "prices": planned.price.source,
        "missing_quota": planned.missing_quota,
    }
    opts.show(
        result,
        lambda: receipt(
            config,
            region=planned.observed.region,
            instance_type=planned.instance_type,
            steps=planned.steps,
            price=planned.price,
            missing_quota=planned.missing_quota,
        ),
    )


def up(
    context: typer.Context,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="1h", help="Go on asking while AWS has no capacity.")
    ] = None,
) -> None:
    """From nothing, stopped or half-done to a box that is set up and synced, with Jupyter answering."""
    from gpu_box import box
    from gpu_box.view.receipt import stop_lines
    from gpu_box.view.stops import stop_line

    opts = options(context)
    config = opts.load()
    done = box.up(config, opts.reporter(), wait=_duration(wait, "--wait") if wait else timedelta(0))
    instance = done.instance
    result = {
        "box": config.name,
        "state": str(instance.state),
        "changed": done.changed,
        "instance": instance.id,
        "type": instance.type,
        "zone": instance.zone,
        "address": instance.address,
        "ssh_port": instance.ssh_port,
        "usd_hour": done.price.hour,
        "deadline": done.observed.deadline.at if done.observed.deadline else None,
        "stopped": done.stopped,
        "resumed": done.resumed,
    }

    def draw() -> str:
        hour = f", {format_money(done.price.hour)} an hour" if done.price.hour is not None else ""
        head = f"{config.name} is up: {instance.type} in {instance.zone} at {instance.address}{hour}"
        stops = "; ".join(stop_lines(config))
        last = f"\n  it had stopped {stop_line(done.stopped)}" if done.stopped else ""
        names = ", ".join(done.resumed)
        jobs = f"\n  goes on after the interruption by AWS: {names}" if names else ""
        hints = "gpu-box jupyter, train, ssh, run -- CMD; stop ends the meter"
        return f"{head}{last}{jobs}\n  {stops}\n  next: {hints}"

    opts.show(result, draw)
    if done.changed:  # one that was up already is told within a second
        mention_forgotten(opts, config)


def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Live, until it stops or Ctrl-C.")] = False,
) -> None:
    """State, money so far, what keeps it awake and when it stops."""
    from gpu_box import box
    from gpu_box.cli.watch import watch as watching
    from gpu_box.view.status import status_lines

    opts = options(context)
    config = opts.load()
    found = watching(config, lambda seen: _status_view(config, seen)) if watch else box.status(config)
    view = _status_view(config, found)
    opts.show(view, lambda: status_lines(view))
    mention_forgotten(opts, config)


def ls(context: typer.Context) -> None:
    """Every box of the region, whoever made it."""
    from gpu_box.aws.client import Cloud
    from gpu_box.aws.observe import observe_all
    from gpu_box.aws.prices import read_price_of
    from gpu_box.view.status import Row, boxes_table
    from gpu_box.view.sweep import forgotten_lines

    opts = options(context)
    config = opts.load()
    cloud = Cloud(config)
    listed = observe_all(cloud)
    rows = [
        Row(
            box=one.box,
            state=str(one.instance.state),
            type=one.instance.type,
            zone=one.instance.zone,
            instance=one.instance.id,
            since=one.instance.launched,
            owner=one.instance.owner,
            usd_hour=read_price_of(cloud, one.instance).instance_hour if one.instance.state.bills else None,
        )
        for one in listed
        if one.instance.state != "terminated"
    ]
    opts.show(rows, lambda: boxes_table(rows, cloud.region))
    for line in forgotten_lines(listed, datetime.now(UTC), after=config.limits.forgotten_after):
        opts.reporter().note(line)


def resize(
    context: typer.Context,
    instance_type: Annotated[str, typer.Argument(metavar="TYPE", help="As g5.xlarge.")],
) -> None:
    """Another instance type for the same box: stopped for it, its disk kept; one that ran runs again."""
    from gpu_box import resize as resizing

    opts = options(context)
    config = opts.load()
    done = resizing.resize(config, instance_type, opts.reporter())
    state = "running" if done.up else "stopped"
    result = {
        "box": config.name,
        "state": state,
        "before": done.before,
        "type": done.after,
        "usd_hour": done.price.hour,
    }

    def draw() -> str:
        hour = f", {format_money(done.price.hour)} an hour" if done.price.hour is not None else ""
        was = f" (it was {done.before})" if done.before != done.after else ""
        start = "" if done.up else "; `gpu-box up` starts it"
        return f"{config.name} is {state}: {done.after}{was}{hour}{start}"

    opts.show(result, draw)


def stop(context: typer.Context) -> None:
    """Stop the meter. The disk stays, and the next `up` finds it as it was."""
    from gpu_box import box
    from gpu_box.aws.client import Cloud
    from gpu_box.aws.prices import read_price_of

    opts = options(context)
    config = opts.load()
    observed = box.stop(config, opts.reporter())
    instance = observed.instance
    month = read_price_of(Cloud(config), instance).disk_month if instance else None
    state = str(instance.state) if instance else "none"

    def draw() -> str:
        if month is None:
            return f"There is no box {config.name!r}: nothing to stop."
        disk = f"{format_money(month)} a month for its disk"
        return f"{config.name} is stopped: {disk}; `gpu-box down` removes it."

    opts.show({"box": config.name, "state": state, "usd_month_stopped": month}, draw)


def down(context: typer.Context) -> None:
    """Remove everything that this box made in AWS, its disk too, and read back that nothing is left."""
    from gpu_box import box

    opts = options(context)
    config = opts.load()
    observed = box.look(config)
    if not observed.nothing_left:
        disk = sum(volume.size_gib for volume in observed.volumes)
        lost = f" and its disk ({disk} GiB, with everything on it)" if disk else ""
        opts.confirm(f"Remove box {config.name!r} in {observed.region}{lost}?")
        box.down(config, opts.reporter())
    opts.show(
        {"box": config.name, "state": "none", "left": []},
        lambda: f"Nothing of {config.name} is left in {observed.region} (read back from AWS).",
    )


def _duration(text: str, where: str) -> timedelta:
    from gpu_box.errors import InputError

    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(str(error), where=where, remedy="Give a time such as 45m or 2h.") from None


def _ask(context: typer.Context, question: str, default: str, choices: str = "") -> str:
    if options(context).yes or options(context).json:
        return default
    if choices:
        typer.echo(choices)
    answer: str = typer.prompt(question, default=default)
    return answer


def _notices(found: box.Status) -> Iterator[str]:
    """What a person should act on now."""
    if found.unreachable:
        yield found.unreachable
    watch = found.machine.watch if found.machine else None
    if watch is None:
        return
    used = watch.cause == "idle" and watch.state == "active"
    if watch.stops_in is not None and watch.stops_in <= _SOON and not used:
        hold = "keep 2h" if watch.cause == "idle" else "extend 2h"
        yield f"stops in {format_duration(watch.stops_in)}: `gpu-box {hold}` holds that off"
    yield from watch.complaints


def _status_view(config: Config, found: box.Status) -> StatusView:
    from gpu_box.view.status import StatusView

    observed, instance, now = found.observed, found.observed.instance, datetime.now(UTC)
    if instance is None:
        return StatusView(box=config.name, state="none", region=observed.region)
    machine, price = found.machine, found.price
    assert price is not None
    running = instance.state.bills
    jupyter = ""
    if machine and machine.jupyter.port:
        answers = "answers" if machine.jupyter.answering else "does not answer"
        jupyter = f"{answers} on the box's port {machine.jupyter.port}: `gpu-box jupyter` opens it"
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
        usd_session=found.spent.session if running and found.spent else None,
        usd_today=found.spent.today if found.spent else None,
        usd_month=found.spent.month if found.spent else None,
        usd_budget=config.limits.budget,
        usd_month_stopped=price.disk_month,
        deadline=observed.deadline.at if observed.deadline else None,
        deadline_missing=observed.deadline_unavailable
        or ("" if observed.deadline else "`gpu-box up` arms it"),
        stopped=found.stopped,
        gpu=machine.gpu if machine else "",
        jupyter=jupyter,
        watch=machine.watch if machine else None,
        steps=machine.steps if machine else (),
        notices=tuple(_notices(found)),
    )
