"""A group that builds a command when it is first needed: building all of them takes longer than running one.

Its help page lists names and first paragraphs as plain text, because importing rich is slow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


def command_name(function: Callable[..., Any]) -> str:
    """`stop` for stop_command: the suffix avoids a clash with the function that the command calls."""
    return function.__name__.removesuffix("_command")


class Commands(TyperGroup):
    """For `typer.Typer(cls=...)`; call `take_over` when all commands are registered."""

    _registered: dict[str, Any] = {}  # typer's CommandInfo or TyperInfo, by name

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = dict.fromkeys(self._registered)  # typer lists and suggests by these names

    @classmethod
    def take_over(cls, app: typer.Typer) -> None:
        """Take the commands out of the app, so that typer does not build all of them at start."""
        every: list[Any] = [*app.registered_commands, *app.registered_groups]
        cls._registered = {info.name or info.callback.__name__: info for info in every}
        app.registered_commands, app.registered_groups = [], []

    @classmethod
    def names(cls) -> list[str]:
        return list(cls._registered)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self.commands.get(cmd_name) is None and cmd_name in self._registered:
            self.commands[cmd_name] = _build(self._registered[cmd_name])
            self.commands[cmd_name].name = cmd_name
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, info in self._registered.items():
            panels.setdefault(info.rich_help_panel, []).append((name, _summary(info)))
        width = max(len(name) for name in self._registered)
        for panel, lines in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in lines])


def _build(info: Any) -> Any:
    group = getattr(info, "typer_instance", None)
    if group is None:
        group = typer.Typer(add_completion=False, rich_markup_mode=None)
        group.registered_commands.append(info)  # typer makes a single command of it, not a group
    return get_command(group)


def _summary(info: Any) -> str:
    """The first paragraph of the command's help."""
    group = getattr(info, "typer_instance", None)
    text = group.info.help if group else inspect.getdoc(info.callback)
    return " ".join((text or "").partition("\n\n")[0].split())
