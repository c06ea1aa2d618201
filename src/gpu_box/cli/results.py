"""The result type of each command; docs/schema.json is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def one_or_all(results: Sequence[Any]) -> Any:
    """A single box's object; a list for a cluster (`boxes: 2`)."""
    return results[0] if len(results) == 1 else results


def shapes() -> dict[str, Any]:
    """The result type of each command; a union if an option changes it.

    Imports here, because a command needs only its own type.
    """
    from gpu_box.box import keep, work
    from gpu_box.box.cost import CostReport
    from gpu_box.box.offers import Written
    from gpu_box.box.preview import Plan
    from gpu_box.box.up import Up
    from gpu_box.model import job, results
    from gpu_box.model.check import Check
    from gpu_box.model.leftovers import Removed, Swept
    from gpu_box.model.machine import SyncResult
    from gpu_box.view.error import Failure

    return {
        "init": Written,
        "plan": Plan | tuple[Plan, ...],
        "up": Up | tuple[Up, ...],
        "status": results.StatusView | tuple[results.StatusView, ...],
        "ls": tuple[results.Row, ...],
        "resize": results.Resized,
        "bake": results.Baked | results.Unbaked,
        "move": results.Moved,
        "stop": results.StoppedBox | tuple[results.StoppedBox, ...],
        "down": results.Gone | tuple[results.Gone, ...],
        "why": keep.Why,
        "keep": keep.Kept | tuple[keep.Kept, ...],
        "extend": keep.Extended | tuple[keep.Extended, ...],
        "jupyter": results.JupyterOpened,
        "open": results.EditorOpened,
        "tunnel": tuple[results.Forwarded, ...],
        "sync": SyncResult | tuple[SyncResult, ...],
        "pull": SyncResult,
        "run": results.JobStarted | results.JobLogged | work.Ended,
        "logs": results.JobLogged,
        "jobs": tuple[job.JobState, ...],
        "cancel": job.Cancelled,
        "train": results.JobStarted | results.JobLogged | work.Ended,
        "doctor": tuple[Check, ...] | tuple[results.QuotaAsked, ...],
        "cost": CostReport | tuple[CostReport, ...],
        "report": results.ReportFile,
        "sweep": Swept | Removed,
        "local env": Mapping[str, str],
        "local status": results.LocalCloud,
        "local stop": results.LocalStopped,
        "any command that fails": Failure,
    }
