"""`cost`: by day and by month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.cli.results import one_or_all
from gpu_box.errors import InputError
from gpu_box.view.console import stacked


def register(app: typer.Typer) -> None:
    app.command("cost", rich_help_panel="When it stops")(cost_command)


def cost_command(
    context: typer.Context,
    days: Annotated[
        int, typer.Option("--days", min=1, max=400, help="Show this many days, up to today.")
    ] = 14,
    month: Annotated[
        str | None, typer.Option("--month", metavar="2026-11", help="Show every day of one month.")
    ] = None,
) -> None:
    """Show the cost by day and month: instance, public IPv4, disk; and a forecast."""
    from gpu_box.box.cost import total
    from gpu_box.box.members import each_member, members_of
    from gpu_box.view.cost import cost_lines

    opts = options(context)
    shown = _days_of(month) if month is not None else _last(days)
    members = members_of(opts.cloud())
    found = each_member(members, lambda member, _: total(member), opts.reporter())
    opts.show(one_or_all(found), lambda: stacked([cost_lines(one, shown) for one in found]))


def _last(count: int) -> list[date]:
    today = datetime.now(UTC).date()
    return [today - timedelta(days=back) for back in range(count - 1, -1, -1)]


def _days_of(month: str) -> list[date]:
    try:
        first = datetime.strptime(month, "%Y-%m").date()
    except ValueError:
        raise InputError(
            f"{month!r} is not a month", where="--month", remedy="Give one such as 2026-11."
        ) from None
    days = (first + timedelta(days=number) for number in range(31))
    return [day for day in days if day.month == first.month]
