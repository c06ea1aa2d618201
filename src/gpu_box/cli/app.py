"""The commands, in the order of a day's work. Each module of this folder registers its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpu_box import __version__
from gpu_box.cli.completion import box_names
from gpu_box.cli.context import Options
from gpu_box.cli.help import show_help_without_command
from gpu_box.cli.lazy import Commands
from gpu_box.view import hints

app = typer.Typer(
    name="gpu-box",
    cls=Commands,
    help="A GPU workstation on AWS, from your laptop, that cannot be left running: it stops itself.",
    invoke_without_command=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"gpu-box {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Config file.", show_default="config.yaml here or in a parent folder"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="The box to use, if you have several.", autocompletion=box_names),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Use the embedded cloud on this machine: no AWS account, no cost.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Options(config=config, name=name, local=local, json=as_json, yes=yes, debug=debug)
    hints.remember(config=None if config is None else str(config), name=name, local=local)
    show_help_without_command(context)


def _register() -> None:
    """Register the commands in the order of the help page."""
    from gpu_box.cli import (
        attach,
        box,
        cost,
        doctor,
        help,
        image,
        init,
        jobs,
        keep,
        local,
        report,
        sweep,
        work,
    )

    for module in (init, box, image, keep, attach, work, jobs, doctor, cost, report, sweep, local, help):
        module.register(app)
    Commands.take_over(app)


_register()
