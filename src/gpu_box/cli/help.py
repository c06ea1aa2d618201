"""`help`, and the help page of a group that is called without a command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gpu_box.cli.context import options
from gpu_box.errors import InputError


def register(app: typer.Typer) -> None:
    app.command("help", rich_help_panel="More")(help_of)


def help_of(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="A command: `up`, `local env`.")
    ] = None,
) -> None:
    """Show this page, or the help page of a command: `gpu-box help up`."""
    page: Any = context.parent
    for word in words or []:
        command = page.command.get_command(page, word) if hasattr(page.command, "get_command") else None
        if command is None:
            raise InputError(
                f"no command {word!r}", remedy=f"`{page.command_path} --help` lists the commands."
            )
        page = typer.Context(command, info_name=word, parent=page)
    print(page.get_help())


def show_help_without_command(context: typer.Context) -> None:
    """Print the group's help page to standard output. With --json a missing command is an error.

    Replaces typer's `no_args_is_help`, which with click 8.2 and later is a usage error with exit code 2.
    """
    if context.invoked_subcommand is not None:
        return
    if options(context).json:
        raise InputError(
            "a command is missing", remedy=f"`{context.command_path} --help` lists the commands."
        )
    print(context.get_help())
