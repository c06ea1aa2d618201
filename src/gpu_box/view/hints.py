"""Adds the global options of the running command to the commands that messages suggest."""

from __future__ import annotations

import re
import shlex

_COMMAND = re.compile(r"`gpu-box (?!local )(?=[a-z-])([^`]*)`")
_given: dict[str, str] = {}


def remember(*, config: str | None, name: str | None, local: bool) -> None:
    """Set the options that `complete` adds, as they were typed."""
    _given.clear()
    if config is not None:
        _given["--config"] = f"--config {shlex.quote(config)}"
    if name is not None:
        _given["--name"] = f"--name {shlex.quote(name)}"
    if local:
        _given["--local"] = "--local"


def forget() -> None:
    _given.clear()


def complete(text: str) -> str:
    """Add the options to each command in backticks, except those that it gives itself."""

    def completed(found: re.Match[str]) -> str:
        words = found[1].split()
        added = [option for name, option in _given.items() if name not in words]
        return f"`{' '.join(['gpu-box', *added, found[1]])}`"

    return _COMMAND.sub(completed, text) if _given else text
