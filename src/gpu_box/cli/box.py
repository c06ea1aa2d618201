"""The life of a box: plan, up, status, ls, resize, stop, down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpu_box.cli.completion import instance_types
from gpu_box.cli.consent import Force, before_upload, consented
from gpu_box.cli.context import Options, options
from gpu_box.cli.lazy import command_name
from gpu_box.cli.results import one_or_all
from gpu_box.errors import InputError
from gpu_box.units import format_money, parse_duration
from gpu_box.view.console import stacked

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud
    from gpu_box.box.resize import ResizePreview
    from gpu_box.config.model import Config
    from gpu_box.model.observed import Observed


_STOP_WAITS_S = 3.0  # the longest wait for the names of the running jobs


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
    """Show what `up` would do, what it costs, and when the box stops by itself. Changes nothing."""
    from gpu_box.box.members import each_member, members_of
    from gpu_box.box.preview import preview
    from gpu_box.view.receipt import receipt

    opts = options(context)
    plans = each_member(members_of(opts.cloud()), lambda member, _: preview(member), opts.reporter())
    opts.show(one_or_all(plans), lambda: stacked([receipt(one) for one in plans]))


def up_command(
    context: typer.Context,
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="1h", help="Keep trying this long while AWS has no capacity."),
    ] = None,
    run_for: Annotated[
        str | None,
        typer.Option("--for", metavar="3h", help="AWS stops this run after this time at the latest."),
    ] = None,
    at_most: Annotated[
        str | None,
        typer.Option(
            "--at-most", metavar="USD", help="AWS stops this run before it has cost more, disk included."
        ),
    ] = None,
    remove_foreign_rules: Annotated[
        bool,
        typer.Option(
            "--remove-foreign-rules", help="Remove rules that were added to the security group by hand."
        ),
    ] = False,
    without_deadline: Annotated[
        bool, typer.Option("--without-deadline", help="Start the box even if AWS cannot stop it; asks first.")
    ] = False,
) -> None:
    """Create or start the box, set it up and sync your project.

    --for and --at-most hold for this run, until the box stops: no `up` loosens them, and `extend` only in a
    terminal.
    """
    from gpu_box.aws.observe import observe
    from gpu_box.box import cluster
    from gpu_box.box.converge import require_own
    from gpu_box.box.usable import require_usable
    from gpu_box.plan import limits
    from gpu_box.view.up import up_lines

    opts = options(context)
    limited = {**_run_limit("--for", run_for), **_run_limit("--at-most", at_most)}
    if limited and without_deadline:
        raise InputError(
            "--for and --at-most are held by the deadline in AWS, which --without-deadline leaves out",
            where="up",
            remedy="Leave one of them out.",
        )
    cloud = opts.cloud()
    cloud = cloud.sharing(cluster.limited(cloud.config, **limited)) if limited else cloud
    waiting = _duration(wait, "--wait") if wait is not None else timedelta(0)
    env = require_usable(cloud.config)
    before_upload(opts, cloud, lambda member: require_own(member, observe(member)))
    if remove_foreign_rules:
        _remove_foreign_rules(opts, cloud)
    if without_deadline:
        name = cloud.config.name
        opts.confirm(f"Start {name} without a deadline in AWS, so that only the box itself stops it?")
        cloud = cloud.sharing(replace(cloud.config, without_deadline=True))
    loosen = True if opts.yes else None if opts.can_ask else False
    try:
        with opts.timed("up") as report:
            ups = cluster.up(cloud, report, wait=waiting, loosen=loosen, env=env)
    except limits.LooserLimits as looser:
        loosen = opts.agrees(f"{'; '.join(looser.lines)}. Loosen the limits of the running box?")
        with opts.timed("up") as report:
            ups = cluster.up(cloud, report, wait=waiting, loosen=loosen, env=env)
    opts.show(one_or_all(ups), lambda: up_lines(ups))
    if any(done.changed for done in ups):  # a second `up` does nothing and returns within a second
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
    watch: Annotated[bool, typer.Option("--watch", help="Live view, until the box stops or Ctrl-C.")] = False,
) -> None:
    """Show the state, the cost so far, what keeps the box awake and when it stops."""
    from gpu_box.machine.state import asked_ahead

    opts = options(context)
    if watch:
        opts.refuse_json("--watch")
    config = opts.load()
    with asked_ahead(config):
        from gpu_box.box.members import each_member, members_of, only_member
        from gpu_box.box.status import status
        from gpu_box.cli.watch import watch_live
        from gpu_box.view.status import status_lines

        cloud = opts.cloud(config)
        members = members_of(cloud)
        if watch:
            views = [watch_live(only_member(cloud, "--watch"))]
        else:
            views = each_member(members, lambda member, _: status(member), opts.reporter())
    opts.show(one_or_all(views), lambda: stacked([status_lines(view) for view in views]))
    mention_forgotten(opts, cloud.config, views[0].observed)


def ls_command(context: typer.Context) -> None:
    """List every box of the region, also other owners'."""
    from gpu_box.aws.tags import owner_tag
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
    mine = ("", owner_tag(cloud.config))
    listed = [row.listed for row in rows if row.listed.instance.owner in mine]
    for line in forgotten_lines(listed, datetime.now(UTC), after=cloud.config.limits.forgotten_after):
        report.note(line)


def resize_command(
    context: typer.Context,
    instance_type: Annotated[
        str,
        typer.Argument(
            metavar="TYPE", help="The new instance type, such as g5.xlarge.", autocompletion=instance_types
        ),
    ],
    force: Force = False,
) -> None:
    """Change the instance type. The disk is kept. A running box stops and starts again.

    Shows both hourly prices and the running jobs, which end, and asks.
    """
    from gpu_box.box.members import only_member
    from gpu_box.box.resize import preview, resize
    from gpu_box.cli.running import hourly

    opts = options(context)
    checked = consented(
        opts, "Resize", force=force, check=lambda mine: preview(only_member(mine, "resize"), instance_type)
    )
    cloud = only_member(checked, "resize")
    name = cloud.config.name
    if not opts.yes:
        ahead = preview(cloud, instance_type)
        if ahead.before != instance_type:
            opts.confirm(_resize_question(opts, cloud, instance_type, ahead))
    with opts.timed("resize") as report:
        done = resize(cloud, instance_type, report)

    def draw() -> str:
        old = f" (was {done.before}{hourly(done.usd_hour_before)})"
        was = old if done.before not in ("", done.type) else ""
        start = "" if done.state == "running" else "; `gpu-box up` starts it"
        return f"{name} is {done.state}: {done.type}{was}{hourly(done.usd_hour)}{start}"

    opts.show(done, draw)


def _resize_question(opts: Options, cloud: Cloud, instance_type: str, ahead: ResizePreview) -> str:
    from gpu_box.cli.running import ending_of, hourly

    instance = ahead.observed.instance
    stops = ", which stops and starts again" if instance and instance.state.bills else ""
    was = f"from {ahead.before}{hourly(ahead.usd_hour_before)}, " if ahead.before else ""
    ending = ending_of(opts, [(cloud, ahead.observed)])
    return f"{ending}Resize {cloud.config.name}{stops}: {was}to {instance_type}{hourly(ahead.usd_hour)}?"


def stop_command(context: typer.Context, force: Force = False) -> None:
    """Stop the box, which ends the billing of the instance. The disk is kept for the next `up`.

    On a terminal it names the running jobs, which end, and the data in ~/scratch, which is lost, and asks. If
    the box does not answer within 3 s, it stops without asking.
    """
    from gpu_box.box import running_jobs
    from gpu_box.box.members import each_member, members_of
    from gpu_box.box.stop import stop
    from gpu_box.cli.running import ends
    from gpu_box.model.results import StoppedBox

    opts = options(context)
    members = members_of(consented(opts, "Stop", force=force))
    if opts.can_ask:
        found = running_jobs.find([(member, None) for member in members], patience_s=_STOP_WAITS_S)
        if ending := [one for one in found if one.names is not None]:
            opts.confirm(f"{ends(ending)}Stop {' and '.join(member.config.name for member in members)}?")
    with opts.timed("stop") as report:
        results = each_member(members, stop, report)

    def line(done: StoppedBox) -> str:
        if done.usd_month_stopped is None:
            return f"There is no box {done.box!r}: nothing to stop."
        disk = f"its disk costs {format_money(done.usd_month_stopped)} a month"
        return f"{done.box} is stopped; {disk}. `gpu-box down` removes the box and its disk."

    opts.show(one_or_all(results), lambda: "\n".join(map(line, results)))


def down_command(
    context: typer.Context,
    keep_image: Annotated[
        bool, typer.Option("--keep-image", help="Keep its image: the next `up` launches from it.")
    ] = False,
    force: Force = False,
) -> None:
    """Remove everything the box made in AWS, its disk too, and read back that nothing is left."""
    from gpu_box.aws.observe import observe
    from gpu_box.box import cluster
    from gpu_box.box.converge import require_own
    from gpu_box.box.members import each_member, members_of
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
            + ("except its image " if kept else "")
            + "(read back from AWS)."
        ),
    )


def _run_limit(option: str, text: str | None) -> dict[str, Any]:
    """The argument of `cluster.limited` for the option; empty if it is not given. Raises InputError."""
    from gpu_box.config import values

    if text is None:
        return {}
    try:
        if option == "--for":
            return {"span": values.duration("10m", "30d")(text)}
        return {"usd": values.run_usd(text)}
    except ValueError as error:
        raise InputError(str(error), where=option) from None


def _duration(text: str, where: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(str(error), where=where, remedy="Give a duration such as 45m or 2h.") from None


def mention_forgotten(opts: Options, config: Config, observed: Observed) -> None:
    """Note the user's boxes in the region of `config` that have been stopped for a long time."""
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
