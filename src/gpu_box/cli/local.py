"""`local`: the embedded cloud's daemon; `aliases`, `skill`: texts for the shell and for a coding agent."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from gpu_box.cli.context import Options, foreign_aws_variables, options
from gpu_box.cli.help import show_help_without_command
from gpu_box.errors import InputError


def register(app: typer.Typer) -> None:
    local = typer.Typer(
        help="The embedded cloud: AWS's API on this machine.",
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
    )
    local.callback()(show_help_without_command)
    local.command("env")(env_command)
    local.command("status")(status_command)
    local.command("stop")(stop_command)
    app.add_typer(local, name="local", rich_help_panel="More")
    app.command("aliases", rich_help_panel="More")(aliases_command)
    app.command("skill", rich_help_panel="More")(skill_command)


def env_command(context: typer.Context) -> None:
    """Print exports for any AWS client, as the account's owner: `eval "$(gpu-box local env)"`."""
    from gpu_box.cli import local_cloud

    exports = local_cloud.start_as_owner()

    def draw() -> str:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
        return "\n".join([*lines, f"unset {' '.join(sorted(foreign_aws_variables(exports)))}"])

    _show(context, exports, draw)


def status_command(context: typer.Context) -> None:
    """Show whether the daemon runs, where, and how many boxes it has."""
    from gpu_box.cli import local_cloud

    found = local_cloud.status()
    if not found.running:
        local_cloud.require_answer()

    def draw() -> str:
        if not found.running:
            return "The embedded cloud is not running."
        return (
            f"The embedded cloud is running: {found.endpoint}, pid {found.pid}, since {found.started:%H:%M}, "
            f"{found.boxes} box{'' if found.boxes == 1 else 'es'} running."
        )

    _show(context, found, draw)


def stop_command(context: typer.Context) -> None:
    """End the daemon and its machines. The disks stay until `down` removes their boxes."""
    from gpu_box.cli import local_cloud

    done = local_cloud.stop()
    line = "The embedded cloud stopped." if done.stopped else "The embedded cloud is not running."
    _show(context, done, lambda: line)


def aliases_command(
    context: typer.Context,
    name: Annotated[str | None, typer.Option("--box", help="The box that the aliases act on.")] = None,
) -> None:
    """The lesson's aws-start, aws-stop, aws-ssh, aws-ip, aws-nb, aws-state: `eval "$(gpu-box aliases)"`.

    They repeat --config, --name and --local.
    """
    opts = options(context)
    words = ["--local"] if opts.local else []
    for option, value in (
        ("--config", opts.config and opts.config.absolute()),
        ("--name", name or opts.name),
    ):
        words += [option, str(value)] if value else []
    _print_text(opts, "aliases.sh", "".join(f" {shlex.quote(word)}" for word in words))


def skill_command(context: typer.Context) -> None:
    """Print SKILL.md, which shows a coding agent how to use gpu-box within a budget."""
    _print_text(options(context), "SKILL.md", "")


def _print_text(opts: Options, file: str, given: str) -> None:
    """given: replaces @GIVEN@ in it."""
    if opts.json:
        raise InputError("this command prints a text and has no JSON", remedy="Leave out --json.")
    print(Path(__file__).with_name(file).read_text(encoding="utf-8").replace("@GIVEN@", given), end="")


def _show(context: typer.Context, result: Any, draw: Any) -> None:
    opts = options(context)
    if opts.json:
        opts.show(result, draw)
    else:
        print(draw())
