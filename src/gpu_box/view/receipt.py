"""`plan`, as a receipt: what will be made, what it costs, and when it stops by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpu_box.aws.prices import Price
from gpu_box.config import Config
from gpu_box.steps import Step
from gpu_box.units import format_duration, format_money

if TYPE_CHECKING:
    from rich.console import RenderableType

_MARK_STYLE = {"+": "good", ">": "good", "~": "warn", "-": "bad"}


def receipt(
    config: Config, *, region: str, instance_type: str, steps: Sequence[Step], price: Price
) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    gpu = f", {price.gpu}" if price.gpu else ""
    lines = [Text.from_markup(f"[what]{config.name}[/] in {region}: {instance_type}{gpu}")]
    lines.append(Text())
    if not steps:
        lines.append(Text("  nothing to do on AWS: the box is up"))
    for step in sorted(steps, key=lambda step: step.stage):
        line = Text("  ")
        line.append(step.mark, style=_MARK_STYLE[step.mark])
        line.append(f" {step}")
        lines.append(line)
    lines.append(Text())
    for label, amount in cost_lines(price):
        lines.append(Text(f"  {label:<24}{amount:>12}"))
    lines.append(Text(f"  prices: {price.source}", style="quiet"))
    lines.append(Text())
    lines += [Text(f"  {line}") for line in stop_lines(config)]
    return Group(*lines)


def cost_lines(price: Price) -> list[tuple[str, str]]:
    hour = price.hour
    return [
        ("an hour running", format_money(hour) if hour is not None else "not known"),
        ("a month stopped (disk)", format_money(price.disk_month)),
    ]


def stop_lines(config: Config) -> list[str]:
    at = f", and at {config.limits.stop_at:%H:%M}" if config.limits.stop_at else ""
    return [
        f"stops itself when idle for {format_duration(config.idle.after)}",
        f"stopped by AWS {format_duration(config.limits.max_hours)} after its start{at}, whatever happens",
    ]
