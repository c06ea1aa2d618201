"""The life of a box: plan, up, status, ls, stop, down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.completion import instance_types
from gpu_box.cli.consent import Force, consented
from gpu_box.cli.context import Options, options
from gpu_box.cli.lazy import command_name
from gpu_box.units import format_money, parse_duration

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud
    from gpu_box.box.resize import Ahead
    from gpu_box.config.model import Config
    from gpu_box.model.observed import Observed


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
    from gpu_box.box.members import each_member, members_of
    from gpu_box.box.preview import preview
    from gpu_box.cli.results import one_or_all
    from gpu_box.view.console import stacked
    from gpu_box.view.receipt import receipt

    opts = options(context)
    plans = each_member(members_of(opts.cloud()), lambda member, _: preview(member), opts.reporter())
    opts.show(one_or_all(plans), lambda: stacked([receipt(one) for one in plans]))


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
    from gpu_box.cli.results import one_or_all
    from gpu_box.plan import limits
    from gpu_box.view.up import up_lines

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
    opts.show(one_or_all(ups), lambda: up_lines(ups))
    if any(done.changed for done in ups):  # one that was up already is told within a second
        mention_forgotten(opts, cloud.config, ups[0].observed)


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
        views = [watch_live(only_member(cloud, "--watch"))]
    else:
        views = each_member(members, lambda member, _: status(member), opts.reporter())
    opts.show(one_or_all(views), lambda: stacked([status_lines(view) for view in views]))
    mention_forgotten(opts, cloud.config, views[0].observed)


def ls_command(context: typer.Context) -> None:
    """Every box of the region, whoever made it."""
    from gpu_box.box.ls import list_boxes
    from gpu_box.plan.readable import unreadable_lines
    from gpu_box.view.status import boxes_table
    from gpu_box.view.sweep import forgotten_lines

    opts = options(context)
    cloud, report = opts.cloud(), opts.reporter()
    rows = list_boxes(cloud)
    opts.show(rows, lambda: boxes_table(rows, cloud.region))
    for row in rows:
        for line in unreadable_lines(row.box, row.listed.instance):
            report.note(line)
    listed = [row.listed for row in rows]
    for line in forgotten_lines(listed, datetime.now(UTC), after=cloud.config.limits.forgotten_after):
        report.note(line)


def resize_command(
    context: typer.Context,
    instance_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="As g5.xlarge.", autocompletion=instance_types)
    ],
    force: Force = False,
) -> None:
    """Change the instance type; the disk is kept. A running box stops for it and starts again.

    Shows both prices an hour and the running jobs, which end, and asks.
    """
    from gpu_box.box.members import only_member
    from gpu_box.box.resize import look_ahead, resize
    from gpu_box.cli.running import hourly

    opts = options(context)
    cloud = only_member(consented(opts, "Resize", force=force), "resize")
    name = cloud.config.name
    if not opts.yes:
        ahead = look_ahead(cloud, instance_type)
        if ahead.before != instance_type:
            opts.confirm(_resize_question(opts, cloud, instance_type, ahead))
    with opts.timed("resize") as report:
        done = resize(cloud, instance_type, report)

    def draw() -> str:
        old = f" (it was {done.before}{hourly(done.usd_hour_before)})"
        was = old if done.before not in ("", done.type) else ""
        start = "" if done.state == "running" else "; `gpu-box up` starts it"
        return f"{name} is {done.state}: {done.type}{was}{hourly(done.usd_hour)}{start}"

    opts.show(done, draw)


def _resize_question(opts: Options, cloud: Cloud, instance_type: str, ahead: Ahead) -> str:
    from gpu_box.cli.running import ending_of, hourly

    instance = ahead.observed.instance
    stops = ", which stops and starts again" if instance and instance.state.bills else ""
    was = f"from {ahead.before}{hourly(ahead.usd_hour_before)}, " if ahead.before else ""
    ending = ending_of(opts, [(cloud, ahead.observed)])
    return f"{ending}Resize {cloud.config.name}{stops}: {was}to {instance_type}{hourly(ahead.usd_hour)}?"


def stop_command(context: typer.Context, force: Force = False) -> None:
    """Stop the meter. The disk stays, and the next `up` finds it as it was.

    On a terminal it names running jobs, which end, and asks, unless the box does not answer within 3 s.
    """
    from gpu_box.box import running_jobs
    from gpu_box.box.members import each_member, members_of
    from gpu_box.box.stop import stop
    from gpu_box.cli.results import one_or_all
    from gpu_box.cli.running import ends
    from gpu_box.model.results import StoppedBox

    opts = options(context)
    members = members_of(consented(opts, "Stop", force=force))
    # Only on a terminal, and only for a moment: a box that does not answer is stopped all the same.
    if opts.can_ask:
        told = running_jobs.find([(member, None) for member in members], patience_s=_STOP_WAITS_S)
        if ending := [one for one in told if one.names]:
            opts.confirm(f"{ends(ending)}Stop {' and '.join(member.config.name for member in members)}?")
    with opts.timed("stop") as report:
        results = each_member(members, stop, report)

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
    force: Force = False,
) -> None:
    """Remove everything that this box made in AWS, its disk too, and read back that nothing is left."""
    from gpu_box.aws.observe import observe
    from gpu_box.box import cluster
    from gpu_box.box.converge import require_own
    from gpu_box.box.members import each_member, members_of
    from gpu_box.cli.results import one_or_all
    from gpu_box.cli.running import ending_of
    from gpu_box.model.results import Gone

    opts = options(context)
    cloud = consented(opts, "Remove", force=force)
    members = members_of(cloud)
    found = each_member(members, lambda member, _: observe(member), opts.reporter())
    for member, seen in zip(members, found, strict=True):
        require_own(member, seen)
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
    gone = [Gone(box=member.config.name) for member in members]
    if there or len(members) > 1:
        with opts.timed("down") as report:
            gone = cluster.down(cloud, report, keep_images=keep_image)
    kept = sum(len(seen.images) for seen in found) if keep_image else 0
    names = ", ".join(member.config.name for member in members)
    opts.show(
        one_or_all(gone),
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
