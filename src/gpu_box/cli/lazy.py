"""A group that builds a command when it is first needed: building all of them takes longer than running one.

Its help page lists names and first paragraphs as plain text, because importing rich is slow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
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
        refuse_empty(self)
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
    return refuse_empty(get_command(group))


def refuse_empty(command: Any) -> Any:
    """Refuse "" for each argument and option: it is an unset variable of a script, and means none of them.

    A command that passes words to another program may have empty ones, but not as the first.
    """
    passes_on = command.context_settings.get("allow_interspersed_args") is False
    for param in command.params:
        first_only = passes_on and param.param_type_name == "argument"
        param.process_value = partial(_value, param, param.process_value, first_only)
    for name, inner in (getattr(command, "commands", None) or {}).items():
        command.commands[name] = inner and refuse_empty(inner)
    return command


def _value(param: Any, process: Callable[..., Any], first_only: bool, context: Any, value: Any) -> Any:
    """value: as typed, or the default."""
    words = value if isinstance(value, list | tuple) else (value,)
    if "" in (words[:1] if first_only else words):
        from gpu_box.errors import InputError

        about = getattr(param, "help", None) or ""
        what = f"an argument is empty: {about[:1].lower()}{about[1:].rstrip('.')}"
        raise InputError(
            what if param.param_type_name == "argument" else f"{param.opts[0]} has an empty value",
            remedy=f"Is a variable unset? `{context.command_path} --help` shows the usage.",
        )
    return process(context, value)


def _summary(info: Any) -> str:
    """The first paragraph of the command's help."""
    group = getattr(info, "typer_instance", None)
    text = group.info.help if group else inspect.getdoc(info.callback)
    return " ".join((text or "").partition("\n\n")[0].split())
