"""`init`: the prices beside each question, and a summary of what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from gpu_box.box.offers import Written, hours
from gpu_box.model.check import Check
from gpu_box.model.price import Price
from gpu_box.units import format_duration, format_money
from gpu_box.view import console, hints

if TYPE_CHECKING:
    from rich.console import RenderableType


def regions_table(prices: Mapping[str, Price], instance_type: str) -> RenderableType:
    if not prices:
        return "Regions differ in price; us-east-1, us-west-2, eu-west-1 and ap-northeast-1 are usual."
    return _priced({name: (price, "") for name, price in prices.items()}, f"an hour of {instance_type}")


def types_table(prices: Mapping[str, Price]) -> RenderableType:
    return _priced({name: (price, str(price.gpu or "")) for name, price in prices.items()}, "an hour")


def quota_lines(quota: Sequence[Check]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = []
    for check in quota:
        sign, style = (" ", "quiet") if check.ok else ("!", "warn")
        remedy = f" {check.remedy}" if check.remedy else ""
        text = Text(hints.complete(f"{check.name}: {check.line.rstrip('.')}.{remedy}"), style=style)
        lines.append(console.marked(Text(sign, style=style), text))
    return Group(*lines)


def budget_line(price: Price, budget: Decimal | None) -> RenderableType:
    pays = hours(price, budget) if budget else None
    if not budget or pays is None:
        return console.indented("The price of this type is unknown: with a budget, it cannot start.", "warn")
    disk = f"plus {format_money(price.disk_month)} for the disk"
    return console.indented(
        f"{format_money(budget)} a month pays {pays} hours, {disk}; then it is stopped.", "quiet"
    )


def written_lines(written: Written, *, quota: bool) -> RenderableType:
    """quota: also show the quota checks, if they were not shown before."""
    from rich.console import Group
    from rich.text import Text

    hour, month = written.usd_hour, format_money(written.usd_month_stopped)
    running = f"{format_money(hour)} an hour running" if hour is not None else "price unknown"
    limit = written.max_hours
    at_most = ""
    if hour is not None:
        at_most = f" ({format_money(hour * Decimal(limit.total_seconds()) / 3600)})"
    lines = [
        Text(f"{written.path} written: {written.instance_type} in {written.region}", style="what"),
        console.indented(f"{running}, {month} a month stopped; prices: {written.prices}"),
        console.indented(
            f"stops at the latest {format_duration(limit)} after a start{at_most}{_budget(written)}"
        ),
    ]
    checks = [quota_lines(written.quota)] if quota else []
    return Group(
        *lines, *checks, Text(hints.complete("Next: `gpu-box plan` shows what `gpu-box up` will create."))
    )


def _budget(written: Written) -> str:
    if written.budget is None:
        return ""
    pays = f" ({written.budget_hours} hours)" if written.budget_hours is not None else ""
    return f", and when a month has cost {format_money(written.budget)}{pays}"


def _priced(rows: Mapping[str, tuple[Price, str]], unit: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for name, (price, what) in rows.items():
        hour = format_money(price.instance_hour) if price.instance_hour is not None else "not sold"
        table.add_row(f"  {name}", hour, what)
    source = next(iter(rows.values()))[0].source
    return Group(table, Text(f"  US dollars {unit}; prices: {source}", style="quiet"))
