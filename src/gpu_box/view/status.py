"""`status` and `ls`: one box in detail, and all boxes in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpu_box.model.results import Row, StatusView
from gpu_box.model.watch import Signal, WatchState
from gpu_box.units import format_bytes, format_duration, format_money
from gpu_box.view import console, hints
from gpu_box.view.jobs import job_lines
from gpu_box.view.why import stop_line

if TYPE_CHECKING:
    from rich.console import RenderableType

_STATE_STYLE = {"running": "good", "pending": "warn", "stopping": "warn", "shutting-down": "warn"}


def status_lines(view: StatusView) -> RenderableType:
    from rich.text import Text

    if view.state == "none":
        made = f", from its {image_line(view)}" if view.images else ""
        none = f"There is no box {view.box!r} in {view.region}; `gpu-box up` creates it{made}."
        return Text(hints.complete(f"{none}\nconfig: {view.config}" if view.config else none))
    head = Text(view.box, style="what")
    head.append("  ")
    head.append(view.state, style=f"not bold {_STATE_STYLE.get(view.state, 'default')}")
    if view.uptime is not None:
        head.append(f" for {format_duration(view.uptime)}", style="not bold")
    table = console.grid(2, label="quiet")
    for label, value in _rows(view):
        table.add_row(label, Text(hints.complete(value)) if isinstance(value, str) else value)
    for notice in view.notices:
        table.add_row(Text("!", style="warn"), Text(hints.complete(notice), style="warn"))
    return console.stacked([head, console.inset(table)]) if table.row_count else head


def _rows(view: StatusView) -> list[tuple[str, RenderableType]]:
    rows: list[tuple[str, RenderableType]] = []
    if view.instance:
        where = f"{view.type} in {view.zone}, {view.instance}"
        rows.append(("instance", where + (f", {view.address}" if view.address else "")))
    if view.gpu:
        rows.append(("gpu", view.gpu))
    if view.scratch_lost:
        rows.append(("scratch", f"{format_bytes(view.scratch_lost)} in ~/scratch is lost at the next stop"))
    if money := money_line(view):
        rows.append(("money", money))
    if view.images:
        rows.append(("image", image_line(view)))
    if view.watch:
        rows += _watch_rows(view.watch)
    if view.state == "running":
        rows += _layer_rows(view)
    if view.stopped:
        rows.append(("stopped", stop_line(view.stopped)))
    rows += [("" if above else "jobs", line) for above, line in enumerate(job_lines(view.jobs))]
    if view.jupyter:
        rows.append(("jupyter", view.jupyter))
    rows += [(step.name, f"{step.status}: {step.line}") for step in view.steps if step.status != "done"]
    if view.config:
        rows.append(("config", str(view.config)))
    return rows


def money_line(view: StatusView) -> str:
    """The cost so far, and the present rate."""
    parts = []
    if view.usd_session is not None and view.uptime is not None:
        parts.append(f"{format_money(view.usd_session)} this session")
    if view.usd_today is not None and view.uptime is not None:
        parts.append(f"{format_money(view.usd_today)} today")
    if view.usd_month is not None:
        of = f" of {format_money(view.usd_budget)}" if view.usd_budget is not None else ""
        parts.append(f"{format_money(view.usd_month)}{of} this month")
    if view.uptime is not None and view.usd_hour is not None:
        parts.append(f"{format_money(view.usd_hour)} an hour")
    if view.state == "stopped" and view.usd_month_stopped is not None:
        parts.append(f"{format_money(view.usd_month_stopped)} a month for the disk")
    return ", ".join(parts)


def image_line(view: StatusView) -> str:
    newest, *others = view.images
    state = "" if newest.state == "available" else f", {newest.state}"
    more = f" and {len(others)} more" if others else ""
    made = f"{newest.created.astimezone():%a %b %d %H:%M}"
    return (
        f"{newest.kind} image of {made}{state}{more}, {format_money(view.usd_month_images)} a month at most"
    )


def _watch_rows(watch: WatchState) -> list[tuple[str, RenderableType]]:
    rows: list[tuple[str, RenderableType]] = []
    if watch.stops_in is not None:
        rows.append(("stops", f"in {format_duration(watch.stops_in)} unless used"))
    rows.append(("now", watch.reason))
    if watch.signals:
        rows.append(("", _signal_table(watch.signals)))
    if watch.stopped:
        rows.append(("last stop", stop_line(watch.stopped)))
    return rows


def _signal_table(signals: Sequence[Signal]) -> RenderableType:
    from rich.text import Text

    table = console.grid(3)
    for signal in signals:
        table.add_row(Text(signal.name), _when(signal), Text(signal.text.removeprefix(f"{signal.name} ")))
    return table


def _when(signal: Signal) -> str:
    if signal.unknown:
        return "unknown"
    if signal.quiet is None:
        return "-"
    return "now" if signal.quiet.total_seconds() < 1 else f"{format_duration(signal.quiet)} ago"


def _layer_rows(view: StatusView) -> list[tuple[str, RenderableType]]:
    """The layers that are armed, and for the others why they are not."""
    layers = view.watch.layers if view.watch else ()
    armed = [layer.name for layer in layers if layer.armed]
    missing = [(one.name, one.detail) for one in layers if not one.armed]
    if view.deadline:
        armed.append(f"deadline (AWS stops it {view.deadline.astimezone():%a %H:%M})")
    elif view.deadline_missing:
        missing.append(("deadline", view.deadline_missing))
    return [
        ("armed", ", ".join(armed) or "nothing"),
        *(("NOT armed", f"{name}: {why}") for name, why in missing),
    ]


def boxes_table(rows: Sequence[Row], region: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return Text(f"No boxes in {region}.")
    # Without the zone, which `status` shows, a row with ordinary names fits 80 columns; long names fold.
    table = Table(box=None, pad_edge=False, header_style="quiet")
    table.add_column("BOX", overflow="fold", min_width=7)
    for name in ("STATE", "TYPE", "INSTANCE", "SINCE"):
        table.add_column(name, no_wrap=True)
    table.add_column("$/H", no_wrap=True, justify="right")
    table.add_column("OWNER", overflow="fold", min_width=5)
    for row in rows:
        table.add_row(
            Text(row.box),
            Text(row.state, style=_STATE_STYLE.get(row.state, "what")),
            row.type,
            row.instance,
            f"{row.since.astimezone():%b %d %H:%M}",
            format_money(row.usd_hour).removeprefix("$") if row.usd_hour is not None else "",
            Text(row.owner),
        )
    return table
