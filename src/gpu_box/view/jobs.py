"""`jobs`: one line per job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpu_box.model.job import JobState
from gpu_box.units import format_duration
from gpu_box.view import hints

if TYPE_CHECKING:
    from rich.console import RenderableType

_WAITING = 5  # names of the queue that `status` shows
_STYLE = {"running": "good", "failed": "bad", "interrupted": "warn"}


def jobs_table(jobs: Sequence[JobState]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not jobs:
        return Text(hints.complete("No job has run on this box yet; `gpu-box run -- CMD` starts one."))
    table = Table(box=None, pad_edge=False, header_style="quiet")
    table.add_column("JOB", overflow="fold", min_width=7)
    table.add_column("STATE", no_wrap=True)
    table.add_column("EXIT", no_wrap=True, justify="right")
    for name in ("STARTED", "TOOK", "GPU"):
        table.add_column(name, no_wrap=True)
    for job in jobs:
        table.add_row(
            Text(job.name),
            Text(job.state, style=_STYLE.get(job.state, "default")),
            "" if job.exit_status is None else str(job.exit_status),
            f"{job.started.astimezone():%b %d %H:%M}" if job.started else "",
            "" if job.took is None else format_duration(job.took),
            ",".join(map(str, job.gpus)),
        )
    return table


def job_lines(jobs: Sequence[JobState]) -> list[str]:
    """For `status`: the jobs that run, that wait, and how the last ones ended."""
    lines = []
    for job in jobs:
        if job.running:
            lines.append(f"{job.name} runs" + (f" for {format_duration(job.took)}" if job.took else ""))
    if waiting := [job.name for job in jobs if job.state == "waiting"]:
        shown = ", ".join(waiting[:_WAITING]) + (", ..." if len(waiting) > _WAITING else "")
        lines.append(f"{len(waiting)} in the queue: {shown}")
    for job in jobs:
        if job.exit_status is not None:
            how = job.state if job.state in ("cancelled", "interrupted") else f"exit status {job.exit_status}"
            when = f", {job.ended.astimezone():%b %d %H:%M}" if job.ended else ""
            lines.append(f"{job.name} ended{when}: {how}")
    return lines
