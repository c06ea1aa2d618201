"""The commands as a group that makes each one when it is asked for, so that none waits for the others.

Its help page needs of each but its name and first sentences, and is plain text: to import rich takes longer
than all else that help does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


def command_name(function: Callable[..., Any]) -> str:
    """`stop` for stop_command: the suffix keeps commands apart from what they call."""
    return function.__name__.removesuffix("_command")


class Commands(TyperGroup):
    """For `typer.Typer(cls=...)`. `later` comes once all are registered."""

    _registered: dict[str, Any] = {}  # typer's notes of each command, or group of them, by its name

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Made(self._registered)

    @classmethod
    def later(cls, app: typer.Typer) -> None:
        """Take them out of typer's own hands, which would make all of them at once."""
        every: list[Any] = [*app.registered_commands, *app.registered_groups]
        for noted in every:
            cls._registered[noted.name or noted.callback.__name__] = noted
        app.registered_commands, app.registered_groups = [], []

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, noted in self._registered.items():
            panels.setdefault(noted.rich_help_panel, []).append((name, _summary(noted)))
        width = max(len(name) for name in self._registered)
        for panel, lines in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in lines])


class _Made(MutableMapping[str, Any]):
    """Commands by name, each made at its first use."""

    def __init__(self, registered: dict[str, Any]) -> None:
        self._registered = registered
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(self._registered[name])
            self._made[name].name = name
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._registered)

    def __len__(self) -> int:
        return len(self._registered)


def _make(noted: Any) -> Any:
    group = getattr(noted, "typer_instance", None)
    if group is None:
        group = typer.Typer(add_completion=False, rich_markup_mode=None)
        group.registered_commands.append(noted)  # of a single command, typer makes that command
    return get_command(group)


def _summary(noted: Any) -> str:
    """The first paragraph of its help."""
    group = getattr(noted, "typer_instance", None)
    text = group.info.help if group else inspect.getdoc(noted.callback)
    return " ".join((text or "").partition("\n\n")[0].split())
