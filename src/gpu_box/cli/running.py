"""Parts of the question before a running box stops: the jobs that end, the data lost, hourly prices."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from gpu_box.box import running_jobs
from gpu_box.cli.context import Options
from gpu_box.units import format_money

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud
    from gpu_box.model.observed import Observed

_PATIENCE_S = 10.0  # for all boxes together


def ending_of(opts: Options, boxes: Iterable[tuple[Cloud, Observed | None]]) -> str:
    """As `ends`, or "" with --yes. boxes: as for `running_jobs.find`."""
    if opts.yes:
        return ""
    return ends(running_jobs.find(list(boxes), patience_s=_PATIENCE_S))


def ends(running: Iterable[running_jobs.Running]) -> str:
    """Sentences that precede the question, or ""."""
    return "".join(f"{one} " for one in running)


def hourly(usd: Decimal | None) -> str:
    """ ", $0.54 an hour", or "" if unknown."""
    return f", {format_money(usd)} an hour" if usd is not None else ""
