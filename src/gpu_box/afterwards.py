"""What follows a job: its results come here, then the box is stopped or taken down.

A disk goes only once results are here: after a job that failed, or without its results, the box is stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpu_box import box, work
from gpu_box.config import Config
from gpu_box.errors import GpuBoxError
from gpu_box.model import Reporter

Then = Literal["stop", "down"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """exit_status: the job's. then: what was really done. spared: why it was not taken down, or ""."""

    job: str
    exit_status: int
    results: Path | None
    then: Then
    spared: str


def finish(config: Config, job: work.Job, exit_status: int, then: Then, report: Reporter) -> Ended:
    """Raises GpuBoxError where the box cannot be stopped."""
    results, missing = None, ""
    try:
        results = work.pull(config, "results", None, report)[1]
    except GpuBoxError as error:
        missing = f"its results did not come: {error.what}"
        report.note(missing)
    spared = missing or (f"it ended with exit status {exit_status}" if exit_status else "")
    spared = spared if then == "down" else ""
    if then == "stop" or spared:
        box.stop(config, report)
    else:
        box.down(config, report)
    return Ended(
        job=job.name,
        exit_status=exit_status,
        results=results,
        then="stop" if spared else then,
        spared=spared,
    )
