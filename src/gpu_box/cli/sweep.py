"""`sweep`: resources left behind, in every region."""

from __future__ import annotations

from typing import Annotated

import typer

from gpu_box.cli.context import options


def register(app: typer.Typer) -> None:
    app.command("sweep", rich_help_panel="The account")(sweep_command)


def sweep_command(
    context: typer.Context,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also list what others made that bills: idle addresses, old snapshots."),
    ] = False,
    removing: Annotated[
        bool, typer.Option("--remove", help="Remove what your boxes left, after a question.")
    ] = False,
) -> None:
    """List what gpu-box left in any region, with its monthly cost. --name limits --remove to one box."""
    from gpu_box.aws import tags
    from gpu_box.aws.sweep.sweep import remove, sweep
    from gpu_box.cli.running import ending_of
    from gpu_box.view.sweep import removal_lines, removed_view, sweep_view

    opts = options(context)
    cloud, report = opts.cloud(), opts.reporter()
    me = tags.owner_tag(cloud.config)
    swept = sweep(cloud, everything=everything, report=report)
    mine = swept.mine(me, opts.name)
    if not (removing and mine):
        opts.show(swept, lambda: sweep_view(swept))
        if swept.unread:
            raise typer.Exit(1)
        return
    running = [
        (cloud.elsewhere(one.region, box=one.box), None)
        for one in mine
        if one.kind == "instance" and one.state in ("pending", "running")
    ]
    ending = ending_of(opts, running)
    opts.confirm(f"{removal_lines(mine)}\n{ending}Remove these {len(mine)}, with all data on their disks?")
    done = remove(cloud, mine, report=report, box=opts.name)
    opts.show(done, lambda: removed_view(len(mine), done.left, done.unread))
    if done.left or done.unread:
        raise typer.Exit(1)
