"""Mistyped command lines, in our words: typer's are those of its parser."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gpu_box.errors import InputError

# typer's words, as of click 8 and of typer's own copy of it, and ours.
_OURS = [
    (r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", r"too many arguments: \1"),
    (r"No such option: (\S+?)\.? \(Possible options: ([^)]*)\)", r"no option \1; did you mean \2?"),
    (r"No such option: (\S+?)\.? Did you mean ([^?]*)\?", r"no option \1; did you mean \2?"),
    (r"No such option: (\S+)", r"no option \1"),
    (r"No such command (.*?)\.? Did you mean ([^?]*)\?", r"no command \1; did you mean \2?"),
    (r"No such command (.*)", r"no command \1"),
    (r"Option '(\S+)' requires an argument", r"\1 needs a value"),
    (r"Option '(\S+)' does not take a value", r"\1 takes no value"),
    (r"Invalid value for '(.*?)'(?: / '.*?')*: (.*)", r"\1: \2"),
    (r"(.*) is not in the range x>=(\d+)", r"\1 is out of range: \2 or more"),
    (r"(.*) is not in the range (\d+)<=x<=(\d+)", r"\1 is out of range: \2 to \3"),
    (r"(.*) is not a valid int(?:eger)?(?: range)?", r"\1 is not a whole number"),
]


def usage_error(error: Any, words: Iterable[str], commands: Iterable[str]) -> InputError:
    """error: typer's, which has no public base class. words: as typed. commands: the names of all."""
    context = getattr(error, "ctx", None)
    typed = next((word for word in words if word in set(commands)), "")  # some errors have no context
    command = context.command_path if context else f"gpu-box {typed}".strip()
    return InputError(_described(error), remedy=f"`{command} --help` shows the usage.")


def _described(error: Any) -> str:
    said = str(error.format_message()).rstrip(".")
    about = getattr(getattr(error, "param", None), "help", None)
    if said.startswith("Missing argument") and about:
        return f"an argument is missing: {about[0].lower()}{about[1:].rstrip('.')}"
    for theirs, ours in _OURS:
        said = re.sub(theirs, ours, said, count=1, flags=re.DOTALL)
    return said
