"""`status` and `ls`: one box at a glance, and all of them in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from gpu_box.units import format_duration, format_money

if TYPE_CHECKING:
    from rich.console import RenderableType

_STATE_STYLE = {"running": "good", "pending": "warn", "stopping": "warn", "shutting-down": "warn"}


@dataclass(frozen=True, kw_only=True)
class StatusView:
    """What `status` tells; its JSON form is this, field by field."""

    box: str
    state: str  # EC2's word, or "none"
    region: str
    instance: str | None = None
    type: str | None = None
    zone: str | None = None
    address: str | None = None
    since: datetime | None = None  # of the last start
    uptime: timedelta | None = None
    usd_hour: Decimal | None = None
    usd_session: Decimal | None = None
    usd_month_stopped: Decimal | None = None
    deadline: datetime | None = None
    deadline_missing: str = ""  # why AWS's side is not armed
    stopped_because: str = ""
    stops: str = ""  # the watcher's verdict
    gpu: str = ""
    jupyter: str = ""
    steps: tuple[tuple[str, str, str], ...] = ()  # name, done | needed | unavailable, line
    notices: tuple[str, ...] = ()


def status_lines(view: StatusView) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="quiet", no_wrap=True)
    table.add_column(overflow="fold")
    state = Text(view.state, style=_STATE_STYLE.get(view.state, "what"))
    if view.uptime is not None:
        state.append(f" for {format_duration(view.uptime)}", style="default")
    table.add_row(view.box, state)
    for label, value in _rows(view):
        table.add_row(label, Text(value))
    for notice in view.notices:
        table.add_row("!", Text(notice, style="warn"))
    return table


def _rows(view: StatusView) -> list[tuple[str, str]]:
    rows = []
    if view.instance:
        where = f"{view.type} in {view.zone}, {view.instance}"
        rows.append(("instance", where + (f", {view.address}" if view.address else "")))
    if view.usd_session is not None and view.usd_hour is not None:
        money = f"{format_money(view.usd_session)} this session, {format_money(view.usd_hour)} an hour"
        rows.append(("money", money))
    elif view.state == "stopped" and view.usd_month_stopped is not None:
        rows.append(("money", f"{format_money(view.usd_month_stopped)} a month for its disk"))
    if view.stops:
        rows.append(("idle", view.stops))
    if view.deadline and view.state == "running":
        rows.append(("deadline", f"AWS stops it at {view.deadline.astimezone():%a %H:%M}"))
    if view.deadline_missing:
        rows.append(("deadline", f"NOT ARMED: {view.deadline_missing}"))
    if view.stopped_because and view.state in ("stopped", "stopping"):
        rows.append(("stopped", view.stopped_because))
    if view.jupyter:
        rows.append(("jupyter", view.jupyter))
    for name, step_state, line in view.steps:
        rows.append((name, line if step_state == "done" else f"{step_state}: {line}"))
    return rows


@dataclass(frozen=True, kw_only=True)
class Row:
    """A box in `ls`; its JSON form is a list of these."""

    box: str
    state: str
    type: str
    zone: str
    instance: str
    since: datetime
    owner: str
    usd_hour: Decimal | None


def boxes_table(rows: Sequence[Row], region: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return Text(f"No boxes in {region}.")
    table = Table(box=None, pad_edge=False, header_style="quiet")
    for name in ("BOX", "STATE", "TYPE", "ZONE", "INSTANCE", "SINCE", "$/H", "OWNER"):
        table.add_column(name, no_wrap=True, justify="right" if name == "$/H" else "left")
    for row in rows:
        table.add_row(
            row.box,
            Text(row.state, style=_STATE_STYLE.get(row.state, "what")),
            row.type,
            row.zone,
            row.instance,
            f"{row.since.astimezone():%b %d %H:%M}",
            format_money(row.usd_hour).removeprefix("$") if row.usd_hour is not None else "",
            row.owner,
        )
    return table
