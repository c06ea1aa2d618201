"""What stops the box: why, keep, extend."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.cli.lazy import command_name
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
    """Why it stopped, or why it does not: the verdicts of late, with the figures of each signal."""
    from gpu_box.box.keep import why
    from gpu_box.view.why import why_lines

    opts = options(context)
    cloud = opts.cloud()
    told = why(cloud)
    opts.show(
        told,
        lambda: why_lines(
            cloud.config.name, told.state, stopped=told.stopped, watch=told.watch, changes=told.changes
        ),
    )


def keep_command(
    context: typer.Context,
    span: Annotated[str | None, typer.Argument(metavar="3h", help="From now: 45m, 3h, 1d.")] = None,
    off: Annotated[bool, typer.Option("--off", help="No longer: it stops when idle.")] = False,
) -> None:
    """Hold idle-stop off for a while, and show what that may cost. Its deadline stays."""
    from gpu_box.box.keep import keep
    from gpu_box.box.members import each_member, members_of
    from gpu_box.cli.results import one_or_all

    opts = options(context)
    if (span is None) != off:
        from gpu_box.errors import InputError

        raise InputError(
            "give either a time or --off", where="keep", remedy="`gpu-box keep 3h`, or `gpu-box keep --off`."
        )
    wanted = _span(span) if span else None
    members = members_of(opts.cloud())
    kept = each_member(members, lambda member, its: keep(member, wanted, its), opts.reporter())
    opts.show(
        one_or_all(kept),
        lambda: _by_name(members, [_kept(one, wanted) for one in kept]),
    )


def extend_command(
    context: typer.Context,
    span: Annotated[str, typer.Argument(metavar="2h", help="Later by this much: 45m, 2h, 1d.")],
) -> None:
    """Move the hard deadline, in AWS and on the box, and show what that may cost."""
    from gpu_box.box.keep import extend
    from gpu_box.box.members import each_member, members_of
    from gpu_box.cli.results import one_or_all

    opts = options(context)
    wanted, members = _span(span), members_of(opts.cloud())
    extended = each_member(members, lambda member, its: extend(member, wanted, its), opts.reporter())
    opts.show(
        one_or_all(extended),
        lambda: _by_name(members, [_extended(one) for one in extended]),
    )


def _by_name(members: Sequence[Cloud], told: Sequence[str]) -> str:
    if len(told) == 1:
        return told[0]
    return "\n".join(f"{member.config.name}: {text}" for member, text in zip(members, told, strict=True))


def _span(text: str) -> timedelta:
    from gpu_box.errors import InputError

    remedy = "Give a time such as 45m, 3h or 1d."
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise InputError(str(error), remedy=remedy) from None
    if not timedelta(minutes=1) <= value <= _LONGEST:
        raise InputError(f"{text} is out of range: 1 min to {format_duration(_LONGEST)}", remedy=remedy)
    return value


def _kept(kept: Kept, span: timedelta | None) -> str:
    if kept.until is None or span is None:
        return "No longer kept: it stops when idle."
    usd = f": {format_money(kept.usd_at_most)} at most" if kept.usd_at_most is not None else ""
    line = f"Kept up for {format_duration(span)}, until {kept.until.astimezone():%a %H:%M}{usd}."
    if kept.deadline and kept.deadline < kept.until:
        at = f"{kept.deadline.astimezone():%a %H:%M}"
        return f"{line}\nIts deadline comes first, {at}: `gpu-box extend` moves that."
    return line


def _extended(extended: Extended) -> str:
    usd = f": {format_money(extended.usd_more)} more at most" if extended.usd_more is not None else ""
    before = f" instead of {extended.before.astimezone():%a %H:%M}" if extended.before else ""
    line = f"It may run until {extended.deadline.astimezone():%a %H:%M}{before}{usd}."
    if not extended.in_aws:
        line += (
            "\nAWS's side is NOT ARMED (`gpu-box status` says why): the box's own watcher keeps this alone."
        )
    return f"{line}\nIdle, it stops before then: `gpu-box keep` holds that off."
