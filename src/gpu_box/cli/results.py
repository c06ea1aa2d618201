"""By command, the type of its result, of which docs/schema.json is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def one_or_all(results: Sequence[Any]) -> Any:
    """Of one box its own object, of a cluster (`boxes: 2`) a list."""
    return results[0] if len(results) == 1 else results


def shapes() -> dict[str, Any]:
    """By command: the type of its result; a union of types where an option makes it another.

    Imported here: the command that answers needs its own alone.
    """
    from gpu_box.box import keep, work
    from gpu_box.box.cost import CostReport
    from gpu_box.box.offers import Written
    from gpu_box.box.preview import Plan
    from gpu_box.box.up import Up
    from gpu_box.model import results
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
        "sync": SyncResult | tuple[SyncResult, ...],
        "pull": SyncResult,
        "run": results.JobStarted | work.Ended,
        "logs": results.JobStarted,
        "train": results.JobStarted | work.Ended,
        "doctor": tuple[Check, ...] | tuple[results.QuotaAsked, ...],
        "cost": CostReport | tuple[CostReport, ...],
        "report": results.ReportFile,
        "sweep": Swept | Removed,
        "local env": Mapping[str, str],
        "local status": results.LocalCloud,
        "local stop": results.LocalStopped,
        "any command that fails": Failure,
    }
