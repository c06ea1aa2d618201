"""The life of a box: plan, up, status, ls, stop, down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpu_box.cli.completion import instance_types
from gpu_box.cli.context import Options, options
from gpu_box.cli.lazy import command_name
from gpu_box.units import format_duration, format_money, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpu_box.aws.client import Cloud
    from gpu_box.box.resize import Ahead
    from gpu_box.box.status import Status
    from gpu_box.box.up import Up as Done
    from gpu_box.cli.context import Options
    from gpu_box.config.model import Config
    from gpu_box.model.observed import Observed
    from gpu_box.view.status import StatusView


_SOON = timedelta(minutes=10)  # as the watcher warns on the box
_STOP_WAITS_S = 3.0  # for the names of the running jobs, at most


def register(app: typer.Typer) -> None:
    for command in (
        plan_command,
        up_command,
        status_command,
        ls_command,
        resize_command,
        stop_command,
        down_command,
    ):
        app.command(command_name(command), rich_help_panel="The box")(command)


def plan_command(context: typer.Context) -> None:
    """What `up` would do, what it costs, and when it stops by itself. Changes nothing."""
    from gpu_box.box.find import foreign_lines
    from gpu_box.box.members import each_member, members_of
    from gpu_box.box.up import plan_up
    from gpu_box.cli.results import Plan, PlannedStep, one_or_all
    from gpu_box.view.console import stacked
    from gpu_box.view.receipt import receipt

    opts = options(context)
    members = members_of(opts.cloud())
    planned = each_member(members, lambda member, _: plan_up(member), opts.reporter())
    results = [
        Plan(
            box=member.config.name,
            region=one.observed.region,
            instance_type=one.instance_type,
            steps=tuple(PlannedStep(mark=s.mark, title=s.title, line=str(s)) for s in one.steps),
            usd_hour=one.price.hour,
            usd_hour_on_demand=one.price.hour_on_demand,
            usd_month_stopped=one.price.disk_month,
            prices=one.price.source,
            missing_quota=one.missing_quota,
            foreign_rules=one.observed.group.foreign if one.observed.group else (),
            config=one.config.path,
            limits_kept=one.kept,
        )
        for member, one in zip(members, planned, strict=True)
    ]

    def draw() -> Any:
        receipts = [
            receipt(
                one.config,
                region=one.observed.region,
                instance_type=one.instance_type,
                steps=one.steps,
                price=one.price,
                missing_quota=one.missing_quota,
                notices=[
                    *foreign_lines(one.observed.group.foreign if one.observed.group else ()),
                    *kept_lines(one.kept),
                ],
                deadline=one.deadline,
            )
            for one in planned
        ]
        return stacked(receipts)

    opts.show(one_or_all(results), draw)


def up_command(
    context: typer.Context,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="1h", help="Go on asking while AWS has no capacity.")
    ] = None,
    remove_foreign_rules: Annotated[
        bool,
        typer.Option(
            "--remove-foreign-rules", help="Also what somebody added to the security group by hand."
        ),
    ] = False,
) -> None:
    """From nothing, stopped or half-done to a box that is set up and synced, with Jupyter answering."""
    from gpu_box.box import cluster
    from gpu_box.cli.results import Up, one_or_all
    from gpu_box.plan import limits
    from gpu_box.view.why import stop_line

    opts = options(context)
    cloud = opts.cloud()
    waiting = _duration(wait, "--wait") if wait else timedelta(0)
    if remove_foreign_rules:
        _remove_foreign_rules(opts, cloud)
    loosen = True if opts.yes else None if opts.can_ask else False
    try:
        with opts.timed("up") as report:
            ups = cluster.up(cloud, report, wait=waiting, loosen=loosen)
    except limits.LooserLimits as looser:
        loosen = opts.agrees(f"{'; '.join(looser.lines)}. Loosen the limits of the running box?")
        with opts.timed("up") as report:
            ups = cluster.up(cloud, report, wait=waiting, loosen=loosen)
    results = [
        Up(
            box=done.host.name,
            state=str(done.instance.state),
            changed=done.changed,
            instance=done.instance.id,
            type=done.instance.type,
            zone=done.instance.zone,
            address=done.instance.address,
            ssh_port=done.instance.ssh_port,
            usd_hour=done.price.hour,
            deadline=done.observed.deadline.at if done.observed.deadline else None,
            stopped=done.stopped,
            resumed=done.resumed,
            warning=done.budget_warning,
            limits_kept=done.kept,
        )
        for done in ups
    ]

    def draw() -> str:
        lines = []
        for done in ups:
            instance, price = done.instance, done.price.hour
            hour = f", {format_money(price)} an hour" if price is not None else ""
            where = f"{instance.type} in {instance.zone} at {instance.address}"
            lines.append(f"{done.host.name} is up: {where}{hour}")
            lines += [f"  it had stopped {stop_line(done.stopped)}"] if done.stopped else []
            if done.resumed:
                lines.append(f"  goes on after the interruption by AWS: {', '.join(done.resumed)}")
            lines += [f"  ! {done.budget_warning}"] if done.budget_warning else []
        # The members of a cluster may have been started at different times.
        lines += dict.fromkeys("  " + "; ".join(_stop_lines(done)) for done in ups)
        lines.append("  next: gpu-box jupyter, train, ssh, run -- CMD; stop ends the meter")
        return "\n".join(lines)

    opts.show(one_or_all(results), draw)
    if any(done.changed for done in ups):  # one that was up already is told within a second
        mention_forgotten(opts, cloud.config, ups[0].observed)


def _stop_lines(done: Done) -> list[str]:
    from gpu_box.view.receipt import stop_lines

    idle, in_aws = stop_lines(done.config, done.deadline)
    return [idle, in_aws if done.deadline else "stopped by its own watcher; AWS's deadline is NOT ARMED"]


def _remove_foreign_rules(opts: Options, cloud: Cloud) -> None:
    from gpu_box.aws.observe import observe
    from gpu_box.box.members import members_of
    from gpu_box.box.stop import remove_foreign_rules

    groups = [(member, observe(member).group) for member in members_of(cloud)]
    found = [(member, group.foreign) for member, group in groups if group and group.foreign]
    for member, rules in found:
        opts.confirm(f"Remove from the security group of {member.config.name!r}: {'; '.join(rules)}?")
    for member, rules in found:
        remove_foreign_rules(member, rules, opts.reporter())


def status_command(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Live, until it stops or Ctrl-C.")] = False,
) -> None:
    """State, money so far, what keeps it awake and when it stops."""
    from gpu_box.box.members import each_member, members_of, only_member
    from gpu_box.box.status import status
    from gpu_box.cli.results import one_or_all
    from gpu_box.cli.watch import watch_live
    from gpu_box.view.console import stacked
    from gpu_box.view.status import status_lines

    opts = options(context)
    cloud = opts.cloud()
    members = members_of(cloud)
    if watch:
        member = only_member(cloud, "--watch")
        found = [watch_live(member, lambda seen: _status_view(member.config, seen))]
    else:
        found = each_member(members, lambda member, _: status(member), opts.reporter())
    views = [_status_view(member.config, one) for member, one in zip(members, found, strict=True)]
    opts.show(one_or_all(views), lambda: stacked([status_lines(v) for v in views]))
    mention_forgotten(opts, cloud.config, found[0].observed)


def ls_command(context: typer.Context) -> None:
    """Every box of the region, whoever made it."""
    from gpu_box.aws.observe import observe_all
    from gpu_box.aws.prices.prices import price_reader
    from gpu_box.plan.readable import unreadable_lines
    from gpu_box.view.status import Row, boxes_table
    from gpu_box.view.sweep import forgotten_lines

    opts = options(context)
    cloud = opts.cloud()
    listed, price_of = observe_all(cloud), price_reader(cloud)
    rows = [
        Row(
            box=one.box,
            state=str(one.instance.state),
            type=one.instance.type,
            zone=one.instance.zone,
            instance=one.instance.id,
            since=one.instance.launched,
            owner=one.instance.owner,
            usd_hour=price_of(one.instance).hour if one.instance.state.bills else None,
            notices=tuple(map(str, one.instance.unreadable)),
        )
        for one in listed
        if one.instance.state != "terminated"
    ]
    opts.show(rows, lambda: boxes_table(rows, cloud.region))
    for one in listed:
        for line in unreadable_lines(one.box, one.instance):
            opts.reporter().note(line)
    for line in forgotten_lines(listed, datetime.now(UTC), after=cloud.config.limits.forgotten_after):
        opts.reporter().note(line)


def resize_command(
    context: typer.Context,
    instance_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="As g5.xlarge.", autocompletion=instance_types)
    ],
) -> None:
    """Change the instance type; the disk is kept. A running box stops for it and starts again.

    Shows both prices an hour and the running jobs, which end, and asks.
    """
    from gpu_box.box.members import only_member
    from gpu_box.box.resize import look_ahead, resize
    from gpu_box.cli.results import Resized
    from gpu_box.cli.running import hourly

    opts = options(context)
    cloud = only_member(opts.cloud(), "resize")
    name = cloud.config.name
    if not opts.yes:
        ahead = look_ahead(cloud, instance_type)
        if ahead.before != instance_type:
            opts.confirm(_resize_question(opts, cloud, instance_type, ahead))
    with opts.timed("resize") as report:
        done = resize(cloud, instance_type, report)
    state = "running" if done.up else "stopped"
    result = Resized(
        box=name,
        state=state,
        before=done.before,
        type=done.after,
        usd_hour=done.price.hour,
        usd_hour_before=done.price_before.hour if done.price_before else None,
    )

    def draw() -> str:
        hour = hourly(done.price)
        old = hourly(done.price_before)
        was = f" (it was {done.before}{old})" if done.before not in ("", done.after) else ""
        start = "" if done.up else "; `gpu-box up` starts it"
        return f"{name} is {state}: {done.after}{was}{hour}{start}"

    opts.show(result, draw)


def _resize_question(opts: Options, cloud: Cloud, instance_type: str, ahead: Ahead) -> str:
    from gpu_box.cli.running import ending_of, hourly

    instance = ahead.observed.instance
    stops = ", which stops and starts again" if instance and instance.state.bills else ""
    was = f"from {ahead.before}{hourly(ahead.price_before)}, " if ahead.before else ""
    ending = ending_of(opts, [(cloud, ahead.observed)])
    return f"{ending}Resize {cloud.config.name}{stops}: {was}to {instance_type}{hourly(ahead.price)}?"


def stop_command(context: typer.Context) -> None:
    """Stop the meter. The disk stays, and the next `up` finds it as it was.

    On a terminal it names running jobs, which end, and asks, unless the box does not answer within 3 s.
    """
    from gpu_box.aws.prices.prices import read_price_of
    from gpu_box.box import running_jobs
    from gpu_box.box.members import each_member, members_of
    from gpu_box.box.stop import stop
    from gpu_box.cli.results import StoppedBox, one_or_all
    from gpu_box.cli.running import ends

    opts = options(context)
    members = members_of(opts.cloud())
    # Only on a terminal, and only for a moment: a box that does not answer is stopped all the same.
    if opts.can_ask:
        told = running_jobs.find([(member, None) for member in members], patience_s=_STOP_WAITS_S)
        if ending := [one for one in told if one.names]:
            opts.confirm(f"{ends(ending)}Stop {' and '.join(member.config.name for member in members)}?")
    with opts.timed("stop") as report:
        observed = each_member(members, stop, report)
    results = []
    for member, seen in zip(members, observed, strict=True):
        instance = seen.instance
        month = read_price_of(member, instance).disk_month if instance else None
        state = str(instance.state) if instance else "none"
        results.append(StoppedBox(box=member.config.name, state=state, usd_month_stopped=month))

    def line(told: StoppedBox) -> str:
        if told.usd_month_stopped is None:
            return f"There is no box {told.box!r}: nothing to stop."
        disk = f"{format_money(told.usd_month_stopped)} a month for its disk"
        return f"{told.box} is stopped: {disk}; `gpu-box down` removes it."

    opts.show(one_or_all(results), lambda: "\n".join(map(line, results)))


def down_command(
    context: typer.Context,
    keep_image: Annotated[
        bool, typer.Option("--keep-image", help="But not its baked image: the next `up` launches from it.")
    ] = False,
) -> None:
    """Remove everything that this box made in AWS, its disk too, and read back that nothing is left."""
    from gpu_box.aws.observe import observe
    from gpu_box.box import cluster
    from gpu_box.box.members import each_member, members_of
    from gpu_box.cli.results import Gone, one_or_all
    from gpu_box.cli.running import ending_of

    opts = options(context)
    cloud = opts.cloud()
    members = members_of(cloud)
    found = each_member(members, lambda member, _: observe(member), opts.reporter())
    there = [member.config.name for member, seen in zip(members, found, strict=True) if not seen.nothing_left]
    region = found[0].region
    if there:
        disk = sum(volume.size_gib for seen in found for volume in seen.volumes)
        lost = f" and its disk ({disk} GiB, with everything on it)" if disk else ""
        images = sum(len(seen.images) for seen in found)
        if images and not keep_image:
            lost += f", and {'its image' if images == 1 else f'{images} images'} (--keep-image keeps it)"
        what = f"box {there[0]!r}"
        if len(there) > 1:
            what, lost = f"boxes {', '.join(there)}", lost.replace("its disk", "their disks")
        ending = ending_of(opts, zip(members, found, strict=True))
        opts.confirm(f"{ending}Remove {what} in {region}{lost}?")
    if there or len(members) > 1:
        with opts.timed("down") as report:
            cluster.down(cloud, report, keep_images=keep_image)
    kept = sum(len(seen.images) for seen in found) if keep_image else 0
    results = [Gone(box=member.config.name) for member in members]
    names = ", ".join(member.config.name for member in members)
    opts.show(
        one_or_all(results),
        lambda: (
            f"Nothing of {names} is left in {region} "
            + ("but its image " if kept else "")
            + "(read back from AWS)."
        ),
    )


def _duration(text: str, where: str) -> timedelta:
    from gpu_box.errors import InputError

    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(str(error), where=where, remedy="Give a time such as 45m or 2h.") from None


def kept_lines(kept: Sequence[str]) -> list[str]:
    """What is said of limits that are tighter on the running box."""
    return [f"{line}: the box keeps its own until `gpu-box up` has asked" for line in kept]


def _notices(found: Status) -> Iterator[str]:
    """What a person should act on now."""
    from gpu_box.box.find import foreign_lines

    if found.unreachable:
        yield found.unreachable
    if found.observed.instance:
        unreadable = found.observed.instance.unreadable
        yield from (str(one) for one in unreadable if str(one) not in found.unreachable)
    if found.observed.group:
        yield from foreign_lines(found.observed.group.foreign)
    if found.budget_warning:
        yield found.budget_warning
    yield from kept_lines(found.kept)
    watch = found.machine.watch if found.machine else None
    if watch is None:
        return
    used = watch.cause == "idle" and watch.state == "active"
    if watch.stops_in is not None and watch.stops_in <= _SOON and not used:
        hold = "keep 2h" if watch.cause == "idle" else "extend 2h"
        yield f"stops in {format_duration(watch.stops_in)}: `gpu-box {hold}` holds that off"
    yield from watch.complaints


def _without_config(config: Config) -> list[str]:
    return [] if config.path else ["no config.yaml here or in a parent folder: this shows all defaults"]


def _status_view(config: Config, found: Status) -> StatusView:
    from gpu_box.view.status import ImageView, StatusView

    observed, instance, now = found.observed, found.observed.instance, datetime.now(UTC)
    images = tuple(ImageView(id=i.id, kind=i.kind, state=i.state, created=i.created) for i in observed.images)
    if instance is None:
        return StatusView(
            box=config.name,
            state="none",
            region=observed.region,
            images=images,
            usd_month_images=observed.usd_month_images,
            config=config.path,
        )
    machine, price = found.machine, found.price
    armed = observed.deadline
    deadline = armed.at if armed and armed.instance_id == instance.id else None
    broken = armed.broken if armed else ""
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
        usd_budget=found.usd_budget,
        usd_month_stopped=price.disk_month,
        images=images,
        usd_month_images=observed.usd_month_images,
        deadline=deadline,
        deadline_missing=observed.deadline_unavailable
        or observed.deadline_unread
        or (f"{broken}; `gpu-box up` arms it anew" if broken else "" if deadline else "`gpu-box up` arms it"),
        stopped=found.stopped,
        gpu=machine.gpu if machine else "",
        jupyter=jupyter,
        watch=machine.watch if machine else None,
        steps=machine.steps if machine else (),
        notices=(*_notices(found), *_without_config(config)),
        config=config.path,
    )


def mention_forgotten(opts: Options, config: Config, observed: Observed) -> None:
    """Of all boxes in the region of `config`."""
    if opts.json:
        return
    from gpu_box.model.observed import Listed
    from gpu_box.view.sweep import forgotten_lines

    own = [Listed(box=config.name, instance=instance) for instance in observed.instances]
    report = opts.reporter()
    for line in forgotten_lines(
        [*observed.others, *own], datetime.now(UTC), after=config.limits.forgotten_after
    ):
        report.note(line)
