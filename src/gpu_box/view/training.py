"""A job's log as it arrives. Lines that report a training's progress become a progress bar.

Such a line is `@progress {"phase": "fit", "epoch": 1, "epochs": 5, "step": 3, "steps": 12, "loss": 0.3,
"accuracy": 0.9}`. remote/vgg16 prints it; any other job may.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_box.errors import ReaderGone
from gpu_box.model.answer import read_object
from gpu_box.view import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_MARK = "@progress "
_LONGEST_PHASE = 40  # characters
_LONGEST_HELD = 4096
_MOST = 10**9
_MOST_PHASES = 10  # lines of the terminal


class JobLog:
    """Takes the log's text. A context manager that restores the terminal at the end.

    Text without a newline (a prompt, a bar redrawn by carriage returns) is shown at once. needs_reader: raise
    ReaderGone once our output's reader went away; otherwise continue without output. raw: pass every escape
    sequence on to the terminal.
    """

    def __init__(self, *, needs_reader: bool = True, raw: bool = False) -> None:
        console.replace_unencodable(sys.stdout)
        self._raw = raw
        self._needs_reader, self._silent = needs_reader, False
        self._held = ""  # the part of the current line that is not shown yet; bounded
        self._within = False  # part of the current line is shown
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> JobLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not ReaderGone and (self._held or self._within):
            self._end_line(self._held)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if console.redraws(sys.stdout):
            print("\x1b[0m", end="", flush=True)  # reset a colour that the job left on

    def take(self, text: str) -> None:
        whole, newline, rest = (self._held + text).rpartition("\n")
        if newline:
            self._end_line(whole)
        self._held = self._show_part(rest)

    def _end_line(self, text: str) -> None:
        """Show the end of the current line, and whole ones behind it: together, as one may be short."""
        lines: list[str] = []
        for line in text.split("\n"):
            progress = None if self._within else _parse(_last_drawing(line))
            self._within = False
            if progress is None:
                lines.append(line)
            elif console.redraws(sys.stdout):
                self._print_lines(lines)
                lines = []
                self._draw(progress)
        self._print_lines(lines)

    def _print_lines(self, lines: list[str]) -> None:
        if lines:
            self._print("\n".join(lines))

    def _show_part(self, rest: str) -> str:
        """Show what has come of a line that has not ended; return what is held back."""
        if self._bar is not None:  # above the bar there are whole lines only
            rest = _last_drawing(rest)
            if len(rest) > _LONGEST_HELD:
                self._end_line(rest)
                return ""
            return rest
        may_be_progress = not self._within and (rest.startswith(_MARK) or _MARK.startswith(rest))
        if may_be_progress and len(rest) <= _LONGEST_HELD:
            return rest
        careful = sys.stdout.isatty() and not self._raw
        shown, held = console.split_incomplete(rest) if careful else (rest, "")
        if len(held) > _LONGEST_HELD:
            shown, held = rest, ""
        if shown:
            self._print(shown, end="")
            self._within = True
        return held

    def _print(self, line: str, end: str = "\n") -> None:
        if self._silent:
            return
        shown = line
        if sys.stdout.isatty() and not self._raw:  # line by line: an unfinished sequence ends with its line
            shown = "\n".join(map(console.harmless, line.split("\n")))
        try:
            with console.reader():
                if self._bar is None:
                    print(shown, end=end, flush=True)
                else:
                    from rich.text import Text

                    drawn = "\n".join(map(_last_drawing, shown.split("\n")))
                    self._bar.console.print(Text.from_ansi(drawn))
        except ReaderGone:
            if self._needs_reader:
                raise
            self._silent = True

    def _draw(self, now: JobProgress) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.start()
        total = now.epochs * now.steps
        done = (now.epoch - 1) * now.steps + now.step
        if now.phase not in self._tasks:
            if len(self._tasks) == _MOST_PHASES:
                return
            self._tasks[now.phase] = self._bar.add_task(now.phase, total=total, figures="")
        self._bar.update(self._tasks[now.phase], completed=done, total=total, figures=_figures(now))


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """The progress of one phase of a job: `step` of `steps` in `epoch` of `epochs`, both from 1."""

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    accuracy: float | None  # 0 to 1
    images_per_s: float | None
    dollars: float | None  # the cost of the run so far


def _last_drawing(line: str) -> str:
    """The final text of a line that was redrawn with carriage returns."""
    return line.rstrip("\r").rpartition("\r")[2]


def _parse(line: str) -> JobProgress | None:
    """None for a malformed line, which is then shown unchanged."""
    if not line.startswith(_MARK):
        return None
    try:
        fields = read_object(line.removeprefix(_MARK))
        return JobProgress(
            phase=fields.text("phase", "job")[:_LONGEST_PHASE],
            epoch=fields.whole("epoch", 1, most=_MOST),
            epochs=max(1, fields.whole("epochs", 1, most=_MOST)),
            step=fields.whole("step", 0, most=_MOST),
            steps=max(1, fields.whole("steps", 1, most=_MOST)),
            loss=fields.number_or_none("loss", least=-_MOST, most=_MOST),
            accuracy=fields.number_or_none("accuracy", most=1.0),
            images_per_s=fields.number_or_none("images_per_s", most=_MOST),
            dollars=fields.number_or_none("dollars", most=_MOST),
        )
    except ValueError:
        return None


def _figures(now: JobProgress) -> str:
    parts = []
    if now.epochs > 1:
        parts.append(f"epoch {now.epoch}/{now.epochs}")
    if now.loss is not None:
        parts.append(f"loss {now.loss:.3f}")
    if now.accuracy is not None:
        parts.append(f"acc {now.accuracy:.1%}")
    if now.images_per_s is not None:
        parts.append(f"{now.images_per_s:.0f} img/s")
    if now.dollars is not None:
        parts.append(f"${now.dollars:.2f}")
    return " ".join(parts)


def _make_bar() -> Progress:
    """Fits 80 columns with the longest figures of a training."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:<8}", markup=False),
        BarColumn(bar_width=8),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", markup=False),
        console=console.output(),
    )
