"""`bake` and `move`: the disk as an image."""

from __future__ import annotations

from typing import Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.cli.lazy import command_name
from gpu_box.units import format_money


def register(app: typer.Typer) -> None:
    for command in (bake_command, move_command):
        app.command(command_name(command), rich_help_panel="The box")(command)


def bake_command(
    context: typer.Context,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the image instead.")] = False,
) -> None:
    """Make an image of the disk: after `down --keep-image`, the next `up` launches from it.

    It replaces an older image. A running box stops for it, after a question, and runs again while AWS copies.
    """
    from gpu_box.aws.observe import observe
    from gpu_box.box import find, image
    from gpu_box.box.converge import require_own
    from gpu_box.box.members import only_member
    from gpu_box.cli.running import ending_of
    from gpu_box.plan.readable import require_readable

    opts = options(context)
    cloud = only_member(opts.cloud(), "bake")
    config = cloud.config
    if remove:
        if not opts.yes:
            seen = observe(cloud)
            require_own(cloud, seen)
            image.require_removable(seen)
            if seen.images:
                opts.confirm(f"Remove the image of {config.name!r}?")
        opts.show(image.remove(cloud, opts.reporter()), lambda: f"{config.name} has no image.")
        return
    if not opts.yes:
        observed = find.locate(cloud, entering=False)
        require_own(cloud, observed)
        if observed.instance and observed.instance.state.bills:
            require_readable(config.name, observed.instance)
            ending = ending_of(opts, [(cloud, observed)])
            opts.confirm(f"{ending}Bake {config.name}, which stops and starts again?")
    with opts.timed("bake") as report:
        done = image.bake(cloud, report)
    opts.show(
        done,
        lambda: (
            f"{config.name} is baked: {done.image}, {done.size_gib} GiB, "
            f"{format_money(done.usd_month)} a month at most\n"
            f"  {config.name} is {done.state}; `down --keep-image` keeps it, and `up` launches from it"
        ),
    )


def move_command(context: typer.Context) -> None:
    """Move a stopped box with its disk to a zone that has capacity, and start it.

    Makes an image of the disk, removes the instance, and launches from the image where there is capacity.
    """
    from gpu_box.aws.observe import observe
    from gpu_box.box.converge import require_own
    from gpu_box.box.image import move, require_movable
    from gpu_box.box.members import only_member

    opts = options(context)
    cloud = only_member(opts.cloud(), "move")
    config = cloud.config
    if not opts.yes:
        observed = observe(cloud)
        require_own(cloud, observed)
        if observed.instance or not observed.images:  # otherwise an interrupted move continues
            require_movable(config, observed)
    opts.confirm(f"Copy the disk of {config.name!r}, then replace its instance with one in another zone?")
    with opts.timed("move") as report:
        done = move(cloud, report)
    was = f" (was in {done.before})" if done.before else ""
    opts.show(done, lambda: f"{config.name} is up in {done.zone}{was} with its disk")
