"""The data of a report: from AWS's tags, the running box, and local results.

A stopped box cannot be read, so its last answer is kept on this laptop and shown with its age.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from gpu_box.aws.client import Cloud
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import find, spent
from gpu_box.box.project import results_folder
from gpu_box.config.model import Config
from gpu_box.errors import GpuBoxError
from gpu_box.files import write_whole
from gpu_box.machine import watcher
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.answer import read_json
from gpu_box.model.observed import InstanceState, Observed, Stopped
from gpu_box.model.progress import Reporter
from gpu_box.model.spending import Spent
from gpu_box.model.watch import Activity
from gpu_box.plan import budget

_MOST_BYTES = 16_000_000  # of a file of results
_MOST_EPOCHS = 10_000


@dataclass(frozen=True, kw_only=True)
class Report:
    """Money is US dollars; times are aware, UTC."""

    box: str
    region: str
    state: str
    type: str | None
    made: datetime
    spent: Spent | None
    days: dict[date, Decimal]
    usd_budget: Decimal | None
    usd_hour: Decimal | None
    usd_month_stopped: Decimal | None
    prices: str  # source and date
    stopped: Stopped | None
    activity: Activity | None
    activity_of: datetime | None  # when the box reported it
    epochs: tuple[dict[str, Any], ...]  # metrics.jsonl of the last training run pulled
    run: dict[str, Any]  # its summary.json; empty if missing


def gather(cloud: Cloud, kept: Path, report: Reporter) -> Report:
    """kept: the folder for boxes' last answers. Raises CloudError."""
    report.start("report", "reading from AWS")
    config = cloud.config
    observed = find.observe_box(cloud)
    now = datetime.now(UTC)
    instance = observed.instance
    price = read_price_of(cloud, instance) if instance else None
    rates = spent.rates_of(price) if price else None
    report.update("report", "reading the box's activity")
    activity, at = _activity(config, observed, kept / f"{config.name}.json", now, report)
    results = results_folder(config)
    found = Report(
        box=config.name,
        region=observed.region,
        state=str(instance.state) if instance else "none",
        type=instance.type if instance else None,
        made=now,
        spent=budget.spent(observed, rates, now=now) if rates else None,
        days=budget.days(observed, rates, now=now).all if rates else {},
        usd_budget=config.limits.budget,
        usd_hour=price.hour if price else None,
        usd_month_stopped=price.disk_month if price else None,
        prices=price.source if price else "",
        stopped=find.stopped_because(cloud, observed),
        activity=activity,
        activity_of=at,
        epochs=_epochs(results / "metrics.jsonl"),
        run=_object(results / "summary.json"),
    )
    report.done("report", "gathered")
    return found


def _activity(
    config: Config, observed: Observed, kept: Path, now: datetime, report: Reporter
) -> tuple[Activity | None, datetime | None]:
    instance = observed.instance
    if instance and instance.state is InstanceState.RUNNING and instance.address:
        try:
            with connect(find.host_of(config, observed)) as connection:
                text = watcher.ask_activity(connection)
            found = watcher.parse_activity(text)
            write_whole(kept, json.dumps({"instance": instance.id, "at": now.isoformat(), "activity": text}))
            return found, now
        except (GpuBoxError, ValueError, OSError) as error:
            report.note(f"the box's activity cannot be read: {error}")
    before = _object(kept)
    try:
        if instance and before.get("instance") == instance.id:
            at = datetime.fromisoformat(before["at"])
            if at.tzinfo and at <= now:
                return watcher.parse_activity(before["activity"]), at
    except (KeyError, TypeError, ValueError, OverflowError):
        pass  # written by another version: ignore it
    return None, None


def _epochs(path: Path) -> tuple[dict[str, Any], ...]:
    """Skip invalid lines: the file may be incomplete."""
    epochs: list[dict[str, Any]] = []
    for line in _text(path).splitlines():
        if len(epochs) == _MOST_EPOCHS:
            break
        try:
            entry = read_json(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "epoch" in entry:
            epochs.append(entry)
    return tuple(epochs)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = read_json(_text(path))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(path: Path) -> str:
    """A file that the box wrote, and may have filled with anything; empty if it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
