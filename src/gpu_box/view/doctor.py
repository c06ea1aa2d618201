"""`doctor`: one row per check, with the remedy below a failed one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpu_box.model.check import Check
from gpu_box.view import console, hints

if TYPE_CHECKING:
    from rich.console import RenderableType


def checks_table(checks: Sequence[Check]) -> RenderableType:
    from rich.text import Text

    table = console.grid(3, label="quiet")
    for check in checks:
        mark = Text("ok", style="good") if check.ok else Text("NO", style="bad")
        table.add_row(mark, check.name, Text(hints.complete(check.line)))
        if check.remedy:
            table.add_row("", "", Text(hints.complete(check.remedy), style="warn"))
    return table
