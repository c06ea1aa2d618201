"""The result of `up`."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_box.box.up import Up
from gpu_box.units import format_money
from gpu_box.view import hints
from gpu_box.view.receipt import stop_lines
from gpu_box.view.why import stop_line


def up_lines(ups: Sequence[Up]) -> str:
    """ups: the box, or every member of a cluster."""
    lines = []
    for done in ups:
        hour = f", {format_money(done.usd_hour)} an hour" if done.usd_hour is not None else ""
        lines.append(f"{done.box} is up: {done.type} in {done.zone} at {done.address}{hour}")
        lines += [f"  last stop: {stop_line(done.stopped)}"] if done.stopped else []
        if done.resumed:
            lines.append(f"  resumed after AWS's interruption: {', '.join(done.resumed)}")
        lines += [f"  ! {done.warning}"] if done.warning else []
    # The members of a cluster may have been started at different times.
    lines += dict.fromkeys("  " + "; ".join(_stop_lines(done)) for done in ups)
    lines.append(
        hints.complete(
            "  next: `gpu-box jupyter`, `train`, `ssh` or `run -- CMD`; `gpu-box stop` when you are done"
        )
    )
    return "\n".join(lines)


def _stop_lines(done: Up) -> list[str]:
    idle, in_aws = stop_lines(done.rules, done.stops_at)
    if done.stops_at:
        return [idle, in_aws]
    if done.observed.deadline_unread:
        return [idle, hints.complete("AWS's deadline could not be read; `gpu-box status` shows it later")]
    return [idle, "stopped by its own watcher; AWS's deadline is NOT ARMED"]
