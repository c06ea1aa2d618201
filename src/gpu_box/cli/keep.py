"""Commands about stopping: why, keep, extend."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.cli.lazy import command_name
from gpu_box.cli.results import one_or_all
from gpu_box.errors import InputError
from gpu_box.units import format_duration, format_money, parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_box.aws.client import Cloud
    from gpu_box.box.keep import Extended, Kept

_LONGEST = timedelta(days=30)  # as limits.max_hours


def register(app: typer.Typer) -> None:
    for command in (why_command, keep_command, extend_command):
        app.command(command_name(command), rich_help_panel="When it stops")(command)


def why_command(context: typer.Context) -> None:
    """Show why it stopped or what keeps it running: the latest verdicts, with the readings of each signal."""
    from gpu_box.box.keep import why
    from gpu_box.view.why import why_lines

    opts = options(context)
    cloud = opts.cloud()
    result = why(cloud)
    opts.show(
        result,
        lambda: why_lines(
            cloud.config.name,
            result.state,
            stopped=result.stopped,
            watch=result.watch,
            changes=result.changes,
        ),
    )


def keep_command(
    context: typer.Context,
    span: Annotated[str | None, typer.Argument(metavar="3h", help="How long from now: 45m, 3h, 1d.")] = None,
    off: Annotated[bool, typer.Option("--off", help="End it: the box stops when idle again.")] = False,
) -> None:
    """Turn idle stop off for a while, and show what that may cost. The deadline still applies."""
    from gpu_box.box.keep import keep
    from gpu_box.box.members import each_member, members_of

    opts = options(context)
    if (span is None) != off:
        raise InputError(
            "give either a duration or --off",
            where="keep",
            remedy="`gpu-box keep 3h`, or `gpu-box keep --off`.",
        )
    wanted = _span(span) if span is not None else None
    members = members_of(opts.cloud())
    kept = each_member(members, lambda member, its: keep(member, wanted, its), opts.reporter())
    opts.show(one_or_all(kept), lambda: _by_name(members, [_kept(one, wanted) for one in kept]))


def extend_command(
    context: typer.Context,
    span: Annotated[str, typer.Argument(metavar="2h", help="How much later: 45m, 2h, 1d.")],
) -> None:
    """Move the deadline, in AWS and on the box, and show what that may cost.

    A run that `up --for` or `--at-most` limits is extended only in a terminal, after a question.
    """
    from gpu_box.box.keep import extend, limited_run, refuse_to_extend
    from gpu_box.box.members import each_member, members_of

    opts = options(context)
    wanted, members = _span(span), members_of(opts.cloud())
    runs = {member.config.name: limited_run(member, wanted) for member in members}
    for name, run in runs.items():
        if run and not sys.stdin.isatty():
            raise refuse_to_extend(next(m.config for m in members if m.config.name == name), run)
        if run:
            opts.confirm(f"This run of {name} is limited to {run}. Extend it by {format_duration(wanted)}?")
    extended = each_member(
        members,
        lambda member, its: extend(member, wanted, its, agreed=runs[member.config.name]),
        opts.reporter(),
    )
    opts.show(one_or_all(extended), lambda: _by_name(members, [_extended(one) for one in extended]))


def _by_name(members: Sequence[Cloud], lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return lines[0]
    return "\n".join(f"{member.config.name}: {line}" for member, line in zip(members, lines, strict=True))


def _span(text: str) -> timedelta:
    remedy = "Give a duration such as 45m, 3h or 1d."
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise InputError(str(error), remedy=remedy) from None
    if not timedelta(minutes=1) <= value <= _LONGEST:
        raise InputError(f"{text} is out of range: 1 min to {format_duration(_LONGEST)}", remedy=remedy)
    return value


def _kept(kept: Kept, span: timedelta | None) -> str:
    if kept.until is None or span is None:
        return "Idle stop is on again."
    usd = f": {format_money(kept.usd_at_most)} at most" if kept.usd_at_most is not None else ""
    line = f"Idle stop is off for {format_duration(span)}, until {kept.until.astimezone():%a %H:%M}{usd}."
    if kept.deadline and kept.deadline < kept.until:
        at = f"{kept.deadline.astimezone():%a %H:%M}"
        return f"{line}\nThe deadline comes first, {at}: `gpu-box extend` moves it."
    return line


def _extended(extended: Extended) -> str:
    usd = f": {format_money(extended.usd_more)} more at most" if extended.usd_more is not None else ""
    before = f" instead of {extended.before.astimezone():%a %H:%M}" if extended.before else ""
    line = f"It may run until {extended.deadline.astimezone():%a %H:%M}{before}{usd}."
    if not extended.in_aws:
        line += (
            "\nThe deadline in AWS is NOT ARMED (`gpu-box status` says why): only the box's watcher keeps it."
        )
    return f"{line}\nIt stops earlier when idle: `gpu-box keep` turns that off."
