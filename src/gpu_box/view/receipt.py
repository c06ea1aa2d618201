"""`plan` as a receipt: what `up` will create, what it costs, and when it stops by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gpu_box.box.find import foreign_lines, kept_lines
from gpu_box.box.preview import Plan
from gpu_box.config.model import Config
from gpu_box.model.results import PlannedStep
from gpu_box.units import format_duration, format_money
from gpu_box.view import console, hints

if TYPE_CHECKING:
    from rich.console import RenderableType

_MARK_STYLE = {"+": "good", ">": "good", "~": "warn", "-": "bad"}


def receipt(plan: Plan) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    head = Text(plan.box, style="what")
    head.append(f" in {plan.region}: {plan.instance_type}", style="not bold")
    head.append(f", {plan.gpu}" if plan.gpu else "", style="not bold")
    done = Text("  nothing to do in AWS: the box is up")
    costs = [Text(f"  {label:<24}{amount:>12}") for label, amount in _cost_lines(plan)]
    source = Text(f"  prices: {plan.prices}", style="quiet")
    stops = [*stop_lines(plan.rules, plan.stops_at), *_scratch_line(plan), *_env_line(plan)]
    gap = Text()
    notices = [*foreign_lines(plan.foreign_rules), *kept_lines(plan.limits_kept)]
    lines = [*([plan.missing_quota] if plan.missing_quota else []), *notices]
    warnings = [
        console.marked(Text("  !", style="warn"), Text(hints.complete(line), style="warn")) for line in lines
    ]
    table = _step_table(plan.steps) if plan.steps else done
    below = (*map(console.indented, stops), *([gap] if lines else []), *warnings)
    return Group(head, gap, table, gap, *costs, source, gap, *below)


def _step_table(steps: Sequence[PlannedStep]) -> RenderableType:
    """One row per step, in order: marker, resource, detail."""
    from rich.text import Text

    table = console.grid(2)
    for step in sorted(steps, key=lambda step: step.stage):
        label = Text(step.mark, style=_MARK_STYLE[step.mark])
        label.append(f" {step.title}", style="default")
        table.add_row(label, Text(step.line.removeprefix(step.title).lstrip(": ")))
    return console.inset(table)


def _cost_lines(plan: Plan) -> list[tuple[str, str]]:
    hour, on_demand = plan.usd_hour, plan.usd_hour_on_demand
    running = format_money(hour) if hour is not None else "unknown"
    lines = [("an hour running" if on_demand is None else "an hour running, spot", running)]
    if on_demand is not None and hour is not None:
        saved = on_demand - hour
        lines.append(("  on demand it would be", format_money(on_demand)))
        lines.append((f"  saved by spot: {saved / on_demand:.0%}", format_money(saved)))
    return [*lines, ("a month stopped (disk)", format_money(plan.usd_month_stopped))]


def _scratch_line(plan: Plan) -> list[str]:
    if plan.nvme_gb is None:
        return []
    if plan.nvme_gb == 0:
        return ["~/scratch is a folder of the disk: this type has no local NVMe"]
    return [f"~/scratch is {plan.nvme_gb} GB of local NVMe, erased at every stop"]


def _env_line(plan: Plan) -> list[str]:
    return [f"variables for jobs, shells and notebooks: {', '.join(plan.env)}"] if plan.env else []


def stop_lines(config: Config, deadline: datetime | None = None) -> list[str]:
    """Two lines: idle stop and AWS's stop. deadline: the armed time, aware; None shows the limits."""
    limits = config.limits
    idle = f"stops itself when idle for {format_duration(config.idle.after)}"
    if deadline:
        return [idle, f"stopped by AWS at {deadline.astimezone():%a %H:%M}, whatever happens"]
    at = f", and at {limits.stop_at:%H:%M}" if limits.stop_at else ""
    spent = f", and when it has cost {format_money(limits.budget)} this month" if limits.budget else ""
    after = format_duration(limits.max_hours)
    return [idle, f"stopped by AWS {after} after its start{at}{spent}, whatever happens"]
