"""A job's log, line by line; lines that say how far a training is become a progress bar.

Such a line is `@progress {"phase": "fit", "epoch": 1, "epochs": 5, "step": 3, "steps": 12, "loss": 0.3,
"accuracy": 0.9}`, printed by remote/vgg16 (and by whoever wants a bar for a job of their own).
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from gpu_box.view import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_MARK = "@progress "


class JobLog:
    """Feed it lines with `take`; a context manager, so that the terminal is given back."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> JobLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def take(self, line: str) -> None:
        told = _parse(line)
        if told is None:
            if self._bar is not None:
                self._bar.console.print(line, markup=False)
            else:
                print(line, flush=True)
        elif sys.stdout.isatty():
            self._draw(told)

    def _draw(self, told: dict[str, Any]) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.start()
        phase = str(told.get("phase", "job"))
        epochs, steps = int(told.get("epochs", 1)), max(1, int(told.get("steps", 1)))
        done = (int(told.get("epoch", 1)) - 1) * steps + int(told.get("step", 0))
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=epochs * steps, figures="")
        self._bar.update(self._tasks[phase], completed=done, total=epochs * steps, figures=_figures(told))


def _parse(line: str) -> dict[str, Any] | None:
    if not line.startswith(_MARK):
        return None
    try:
        told = json.loads(line.removeprefix(_MARK))
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _figures(told: dict[str, Any]) -> str:
    parts = []
    if told.get("epochs", 1) > 1:
        parts.append(f"epoch {told.get('epoch')}/{told['epochs']}")
    if told.get("loss") is not None:
        parts.append(f"loss {told['loss']:.3f}")
    if told.get("accuracy") is not None:
        parts.append(f"accuracy {told['accuracy']:.1%}")
    return "  ".join(parts)


def _make_bar() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console.output(),
    )
