"""The live panel of `status --watch`. The countdown continues between two readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gpu_box.model.results import StatusView
from gpu_box.model.watch import Reading
from gpu_box.units import format_bytes, format_duration
from gpu_box.view import console, hints
from gpu_box.view.status import money_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_BAR = 24  # characters
_SOON = timedelta(minutes=10)  # when the watcher warns on the box
_STALE = timedelta(seconds=20)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """reading: the latest reading, or None before the first. trouble: an error to show, or ""."""

    view: StatusView
    reading: Reading | None
    trouble: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        now = self.clock()
        head = Text(self.view.box, style="what")
        head.append(
            f"  {self.view.state}", style="not bold good" if self.view.state == "running" else "not bold"
        )
        if self.view.since:
            head.append(f" for {format_duration(now - self.view.since)}", style="not bold")
        head.append(f"  {self.view.type}, {self.view.zone}", style="not bold quiet")
        table = console.grid(2, label="quiet")
        for label, value in self._rows(now):
            table.add_row(label, value)
        quiet = Text("Ctrl-C ends this view; the box keeps running.", style="quiet")
        return Group(head, console.inset(table), quiet)

    def _rows(self, now: datetime) -> list[tuple[str, Text]]:
        from rich.text import Text

        rows: list[tuple[str, Text]] = []
        reading = self.reading
        if reading:
            rows += [("stops", _countdown(reading, now, self.view.deadline))]
            rows += [("now", Text(reading.watch.reason))]
            rows += _gauges(reading)
            rows += [(task.kind, Text(f"{task.name}: {task.doing}")) for task in reading.tasks]
        if money := money_line(self.view):
            rows.append(("money", Text(money)))
        if reading and now - reading.at > _STALE:
            rows.append(
                ("!", Text(f"no answer from the box for {format_duration(now - reading.at)}", style="warn"))
            )
        if self.trouble or not reading:
            rows.append(("!", Text(hints.complete(self.trouble) or "connecting to the box", style="warn")))
        return rows


def _countdown(reading: Reading, now: datetime, deadline: datetime | None) -> Text:
    from rich.text import Text

    stops = reading.stops_at(deadline)
    if stops is None:
        return Text("unknown", style="warn")
    left = max(timedelta(0), stops - now)
    why = "even if used" if deadline and stops == deadline else "unless used"
    text = Text(_clock(left), style="bad" if left <= _SOON else "what")
    text.append(f" {why}, at {stops.astimezone():%H:%M}", style="not bold default")
    return text


def _clock(left: timedelta) -> str:
    minutes, seconds = divmod(int(left.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _gauges(reading: Reading) -> list[tuple[str, Text]]:
    from rich.text import Text

    rows = []
    if reading.gpus is None:
        rows.append(("gpu", Text("nvidia-smi does not answer", style="warn")))
    for gpu in reading.gpus or ():
        warm = f", {gpu.celsius:.0f} °C" if gpu.celsius is not None else ""
        rows.append(("gpu", _gauge(gpu.percent, f"{gpu.name}, {_of(gpu.memory)}{warm}")))
    load = f"load {reading.load:.1f} of {reading.cores} cores"
    rows.append(("cpu", _gauge(100 * reading.load / max(1, reading.cores), load)))
    if reading.memory:
        used, total = reading.memory
        rows.append(("memory", _gauge(100 * used / max(1.0, total), _of(reading.memory))))
    return rows


def _gauge(percent: float | None, label: str) -> Text:
    """A bar, the number and a label: none of them alone carries the meaning."""
    from rich.text import Text

    if percent is None:
        return Text(label)
    percent = min(100.0, percent)  # the load can exceed the number of cores
    full = round(percent / 100 * _BAR)
    text = Text("━" * full, style="good")
    text.append("╌" * (_BAR - full), style="quiet")
    text.append(f" {percent:3.0f} %  {label}", style="default")
    return text


def _of(memory: tuple[float, float]) -> str:
    return f"{format_bytes(round(memory[0]))} of {format_bytes(round(memory[1]))}"
