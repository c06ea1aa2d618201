"""`sweep`: leftovers in all regions, the most expensive first; and boxes that have been stopped for long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from gpu_box.model.leftovers import Leftover, Swept, Unread
from gpu_box.model.observed import Listed
from gpu_box.model.stop_reason import is_forgotten, stopped_for
from gpu_box.units import format_duration, format_money
from gpu_box.view.console import inset

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult


def sweep_view(swept: Swept) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    unread = {one.region for one in swept.unread} & set(swept.regions)
    of = f"{len(swept.regions) - len(unread)} of " if unread else ""
    where = f"{of}{len(swept.regions)} regions"
    lines: list[RenderableType] = []
    if swept.found:
        lines.append(leftovers_table(swept.found))
        unknown = any(one.usd_month is None for one in swept.found)
        more = " plus whatever has no known price" if unknown else ""
        lines.append(Text(f"{format_money(swept.usd_month)} a month at present{more}, in {where}."))
    else:
        lines.append(Text(f"Nothing is left in {where}."))
    lines += [Text(f"NOT checked: {one.region}: {one.why}", style="bad") for one in swept.unread]
    return Group(*lines)


def removed_view(count: int, left: Sequence[Leftover], unread: Sequence[Unread]) -> RenderableType:
    """count: how many were to be removed. left: what a second check found."""
    from rich.console import Group
    from rich.text import Text

    if not (left or unread):
        return Text(f"Removed {count}; nothing of yours is left in any region (read back from AWS).")
    failures = [Text(f"{one.region}: {one.why}", style="bad") for one in unread]
    again = Text("Run it again to continue.", style="warn")
    return Group(*([leftovers_table(left)] if left else []), *failures, again)


def leftovers_table(found: Sequence[Leftover]) -> RenderableType:
    """A heading for each box and region with its resources below, so that a line fits 80 columns."""
    places: dict[str, list[tuple[str, ...]]] = {}
    for one in sorted(found, key=_dearest_first):
        whose = f"{one.box} ({one.owner})" if one.owner else one.box or "of no box"
        usd = "?" if one.usd_month is None else format_money(one.usd_month) if one.usd_month else ""
        row = one.kind, one.id, one.state, usd, one.note
        places.setdefault(f"{whose}, {one.region}", []).append(row)
    return _Places(places)


@dataclass(frozen=True)
class _Places:
    """Align the columns of all headings; names and notes shrink on a narrow terminal."""

    rows: Mapping[str, Sequence[tuple[str, ...]]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.table import Table
        from rich.text import Text

        every = [row for there in self.rows.values() for row in there]
        kind, name, state, usd, note = (max(map(len, column)) for column in zip(*every, strict=True))
        left = options.max_width - 2 - kind - state - usd - 4 * 2
        name = min(name, max(21, left - min(note, 11)))  # an instance's id has 19 characters, a volume's 21
        for place, there in self.rows.items():
            table = Table.grid(padding=(0, 2, 0, 0))
            for width in (kind, name, state):
                table.add_column(width=width, overflow="fold")
            table.add_column(width=usd, justify="right")
            table.add_column(width=min(note, max(11, left - name)), overflow="fold")
            for row in there:
                table.add_row(*map(Text, row))
            yield Text(place, style="what")
            yield inset(table)


def removal_lines(found: Iterable[Leftover]) -> str:
    """The list in the confirmation: one line each."""
    return "\n".join(
        f"  {one.region}  {one.kind} {one.id}{f' ({one.state})' if one.state else ''} of {one.box}"
        for one in sorted(found, key=lambda one: (one.region, one.box, one.kind, one.id))
    )


def forgotten_lines(listed: Iterable[Listed], now: datetime, *, after: timedelta) -> Iterator[str]:
    """For `ls`, `status` and `up`: a line for each box that has been stopped for longer than `after`."""
    for one in listed:
        duration = stopped_for(one.instance, now)
        if duration is not None and is_forgotten(one.instance, now, after=after):
            owner = f" ({one.instance.owner})" if one.instance.owner else ""
            yield (
                f"{one.box}{owner} has been stopped for {format_duration(duration)}, and its disk still "
                f"bills: `gpu-box --name {one.box} down` removes it"
            )


def _dearest_first(one: Leftover) -> tuple[Decimal, str, str, str]:
    return -(one.usd_month or Decimal(0)), one.region, one.box, one.kind
