"""A job's log, line by line; lines that say how far a training is become a progress bar.

Such a line is `@progress {"phase": "fit", "epoch": 1, "epochs": 5, "step": 3, "steps": 12, "loss": 0.3,
"accuracy": 0.9}`, printed by remote/vgg16 (and by whoever wants a bar for a job of their own).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_box.errors import printable
from gpu_box.view import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_MARK = "@progress "
_LONGEST_PHASE = 40  # characters


class JobLog:
    """Feed it lines with `take`; a context manager, so that the terminal is given back."""

    def __init__(self) -> None:
        console.never_refuse(sys.stdout)
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> JobLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if sys.stdout.isatty():
            print("\x1b[0m", end="", flush=True)  # a colour that the job left on ends with it

    def take(self, line: str) -> None:
        told = _parse(line)
        if told is None:
            self._print(line)
        elif sys.stdout.isatty():
            self._draw(told)

    def _print(self, line: str) -> None:
        shown = console.harmless(line) if sys.stdout.isatty() else line
        if self._bar is None:
            print(shown, flush=True)
        else:
            from rich.text import Text

            self._bar.console.print(Text.from_ansi(shown))

    def _draw(self, told: Told) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.start()
        total = told.epochs * told.steps
        done = (told.epoch - 1) * told.steps + told.step
        if told.phase not in self._tasks:
            self._tasks[told.phase] = self._bar.add_task(told.phase, total=total, figures="")
        self._bar.update(self._tasks[told.phase], completed=done, total=total, figures=_figures(told))


@dataclass(frozen=True, kw_only=True)
class Told:
    """How far a phase of a job is: `step` of `steps`, in `epoch` of `epochs`, both from 1."""

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    accuracy: float | None  # 0 to 1
    images_per_s: float | None
    dollars: float | None  # what the run has cost so far


def _parse(line: str) -> Told | None:
    """None for any line that is not whole and right: it is shown as it stands."""
    if not line.startswith(_MARK):
        return None
    try:
        raw = json.loads(line.removeprefix(_MARK))
        loss, accuracy, rate, dollars = (
            None if (value := raw.get(name)) is None else float(value)
            for name in ("loss", "accuracy", "images_per_s", "dollars")
        )
        return Told(
            phase=printable(str(raw.get("phase", "job")))[:_LONGEST_PHASE],
            epoch=int(raw.get("epoch", 1)),
            epochs=max(1, int(raw.get("epochs", 1))),
            step=int(raw.get("step", 0)),
            steps=max(1, int(raw.get("steps", 1))),
            loss=loss,
            accuracy=accuracy,
            images_per_s=rate,
            dollars=dollars,
        )
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _figures(told: Told) -> str:
    parts = []
    if told.epochs > 1:
        parts.append(f"epoch {told.epoch}/{told.epochs}")
    if told.loss is not None:
        parts.append(f"loss {told.loss:.3f}")
    if told.accuracy is not None:
        parts.append(f"acc {told.accuracy:.1%}")
    if told.images_per_s is not None:
        parts.append(f"{told.images_per_s:.0f} img/s")
    if told.dollars is not None:
        parts.append(f"${told.dollars:.2f}")
    return " ".join(parts)


def _make_bar() -> Progress:
    """At most 80 columns with the longest figures of a training."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:<8}", markup=False),
        BarColumn(bar_width=8),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", markup=False),
        console=console.output(),
    )
