"""`cost`: days as bars, months as sums, and the forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from gpu_box.box.cost import Cost, CostReport
from gpu_box.units import format_money
from gpu_box.view import console

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_BAR = 20  # characters


def cost_lines(found: CostReport, days: Sequence[date]) -> RenderableType:
    """days: the days to show, in order; a day without a cost is shown as zero."""
    from rich.console import Group
    from rich.text import Text

    head = Text(found.box, style="what")
    head.append(f"  {found.state} in {found.region}", style="not bold")
    shown = {f"{day:%a %b %d}": found.days.get(day, Cost()) for day in days}
    tables = [_table("DAY (UTC)", shown, bars=True)]
    if found.months:
        tables.append(_table("MONTH (UTC)", found.months, bars=False))
    lines = [Text(line) for line in _forecast(found)]
    warning = [Text(f"! {found.warning}", style="warn")] if found.warning else []
    source = Text(f"prices: {found.prices}; AWS's bill is authoritative", style="quiet")
    gap = Text(" ")  # an empty Text, once padded, prints no line
    parts: list[RenderableType] = [part for table in tables for part in (table, gap)]
    body = (*parts, *lines, *warning, source)
    return Group(head, gap, *map(console.inset, body))


def _table(name: str, costs: Mapping[str, Cost], *, bars: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    most = max([cost.total for cost in costs.values()], default=Decimal(0))
    columns = ["instance", "address", "disk", "images", "gone", "total"]
    for kind in ("images", "gone"):
        if not any(getattr(cost, kind) for cost in costs.values()):
            columns.remove(kind)
    table = Table(box=None, pad_edge=False, header_style="quiet")
    table.add_column(name, no_wrap=True)
    for column in columns:
        heading = {"address": "IPV4", "images": "IMAGE"}.get(column, column.upper())
        table.add_column(heading, justify="right", no_wrap=True)
    if bars:
        table.add_column("")
    for label, cost in costs.items():
        length = round(_BAR * float(cost.total / most)) if most else 0
        bar = [Text("━" * length, style="good")] if bars else []
        table.add_row(label, *(_money(getattr(cost, column)) for column in columns), *bar)
    return table


def _money(usd: Decimal) -> str:
    return f"{usd:,.2f}" if usd else "-"


def _forecast(found: CostReport) -> list[str]:
    of = f" of {format_money(found.usd_budget)}" if found.usd_budget is not None else ""
    lines = [f"{format_money(found.usd_month)}{of} this month, {format_money(found.usd_today)} today"]
    if found.usd_session:
        lines[0] += f", {format_money(found.usd_session)} this session"
    if found.usd_month_stopped is not None or found.usd_month_images:
        still = format_money(found.usd_month_if_stopped)
        lines.append(f"if it stays stopped, this month ends at {still}")
    if found.usd_hour is not None and found.state != "none":
        lines.append(f"running costs {format_money(found.usd_hour)} an hour")
    if found.budget_spent:
        at = found.budget_spent.astimezone()
        lines.append(f"if it keeps running, the budget is spent on {at:%a %b %d %H:%M}")
    return lines
