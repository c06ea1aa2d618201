"""The undocumented parts of typer that cli uses: a failure names what an upgrade has changed."""

from __future__ import annotations

from importlib.metadata import version

import pytest
import typer
from typer.core import TyperGroup, TyperOption

TYPER = f"typer {version('typer')}"
LAZY = "cli/lazy.py"
DESCRIBED = typer.BadParameter("no such type")


def small() -> typer.Typer:
    """A group of one command and one group, as cli.app has them before `Commands.take_over`."""
    app, inner = typer.Typer(), typer.Typer(name="local", help="The embedded cloud.")
    app.command("stop", rich_help_panel="More")(lambda: None)
    app.add_typer(inner, name="local", rich_help_panel="More")
    return app


@pytest.mark.parametrize(
    ("owner", "names", "where", "what"),
    [
        (small(), ("registered_commands", "registered_groups"), LAZY, "a fast start"),
        (small().registered_commands[0], ("name", "callback", "rich_help_panel"), LAZY, "the help page"),
        (small().registered_groups[0], ("name", "typer_instance", "rich_help_panel"), LAZY, "`local`"),
        (small().registered_groups[0].typer_instance.info, ("help",), LAZY, "the help page"),
        (typer.main.get_command(small()), ("params", "context_settings", "commands"), LAZY, "empty words"),
        (TyperOption(param_decls=["--x"]), ("process_value", "param_type_name", "opts"), LAZY, "empty words"),
        (TyperGroup, ("format_commands", "get_command"), "cli/help.py", "the help page"),
        (DESCRIBED, ("format_message", "ctx"), "cli/main.py", "one line for what was mistyped"),
    ],
    ids=["app", "command", "group", "group's info", "built group", "option", "TyperGroup", "usage error"],
)  # fmt: skip
def test_typer_has_what_we_use(owner: object, names: tuple[str, ...], where: str, what: str) -> None:
    kind = owner if isinstance(owner, type) else type(owner)
    for name in names:
        assert hasattr(owner, name), f"{TYPER} has no {kind.__name__}.{name}, which {where} needs for {what}"


def test_a_group_keeps_its_commands_where_we_put_ours() -> None:
    group = TyperGroup(name="group", commands={})
    group.commands = {"stop": typer.main.get_command(small())}
    listed = group.list_commands(typer.Context(group))
    assert listed == ["stop"], f"{TYPER}: a group no longer lists `commands`, which cli/lazy.py replaces"
