"""Why the box stopped, or what keeps it running: `why`, and the short form in `status` and `up`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpu_box.model.observed import Stopped
from gpu_box.units import format_duration
from gpu_box.view import console, hints

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gpu_box.model.watch import Change, WatchState

_LAYERS = ("fuse", "watcher", "guard", "deadline")
_STATE_STYLE = {"active": "good", "idle": "warn", "held": "warn", "limit": "warn", "stop": "bad"}


def stop_line(stopped: Stopped) -> str:
    """ "Sat Aug 01 02:13 by the watcher: idle 30 min; last activity: kernel lesson1.ipynb 01:43"."""
    when = f"{stopped.at.astimezone():%a %b %d %H:%M}" if stopped.at else ""
    by = f" by the {stopped.layer}" if stopped.layer in _LAYERS else ""
    return f"{when}{by}: {stopped.reason}".lstrip(" :")


def why_lines(
    box: str, state: str, *, stopped: Stopped | None, watch: WatchState | None, changes: Sequence[Change]
) -> RenderableType:
    """The current state, the changes that led to it, then the last stop with the signals of that moment."""
    from rich.text import Text

    if state == "none":
        return Text(hints.complete(f"There is no box {box!r}; `gpu-box up` creates it."))
    head = Text(box, style="what")
    head.append(f"  {state}", style="not bold")
    table = console.grid(2, label="quiet")
    if watch:
        stops = "" if watch.stops_in is None else f"; stops in {format_duration(watch.stops_in)} unless used"
        table.add_row("now", Text(watch.reason + stops))
    if changes:
        table.add_row("before", _changes(changes))
    if stopped:
        table.add_row("stopped" if watch is None else "last stop", Text(stop_line(stopped)))
        if stopped.signals:
            table.add_row("", _figures(stopped))
    elif watch is None:
        table.add_row("stopped", "reason unknown: neither the box nor EC2 recorded one")
    return console.stacked([head, console.inset(table)])


def _changes(changes: Sequence[Change]) -> RenderableType:
    from rich.text import Text

    table = console.grid(3)
    for change in changes:
        state = Text(change.state, style=_STATE_STYLE.get(change.state, "default"))
        reason = Text(change.reason.removeprefix(f"{change.state}: "))
        table.add_row(f"{change.at.astimezone():%a %H:%M:%S}", state, reason)
    return table


def _figures(stopped: Stopped) -> RenderableType:
    """Each signal as last read before the stop."""
    from rich.text import Text

    table = console.grid(2)
    for name, text in stopped.signals:
        table.add_row(Text(name), Text(text.removeprefix(f"{name} ")))
    return table
