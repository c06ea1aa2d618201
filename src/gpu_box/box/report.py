"""What a report tells of a box: gathered from AWS's tags, from the box where it runs, from results here.

A stopped box cannot be asked what it did; what it said last is kept on this laptop, and told with its age.
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


@dataclass(frozen=True, kw_only=True)
class Report:
    """Money is US dollars; every time is aware, UTC."""

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
    prices: str  # where they are from, and of when
    stopped: Stopped | None
    activity: Activity | None
    activity_of: datetime | None  # when the box was asked for it
    epochs: tuple[dict[str, Any], ...]  # of the last training run whose results are here: metrics.jsonl
    run: dict[str, Any]  # its summary.json; empty where there is none


def gather(cloud: Cloud, kept: Path, report: Reporter) -> Report:
    """kept: the folder where what boxes said is kept. Raises CloudError."""
    report.start("report", "asking AWS")
    config = cloud.config
    observed = find.observe_box(cloud)
    now = datetime.now(UTC)
    instance = observed.instance
    price = read_price_of(cloud, instance) if instance else None
    rates = spent.rates_of(price) if price else None
    report.update("report", "asking the box what it did")
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
            report.note(f"the box does not tell what it did: {error}")
    before = _object(kept)
    try:
        if instance and before.get("instance") == instance.id:
            return watcher.parse_activity(before["activity"]), datetime.fromisoformat(before["at"])
    except (KeyError, TypeError, ValueError):
        pass  # of another version: as if nothing were kept
    return None, None


def _epochs(path: Path) -> tuple[dict[str, Any], ...]:
    """A line that is none is left out: a run that is being pulled."""
    epochs = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            told = read_json(line)
        except ValueError:
            continue
        if isinstance(told, dict) and "epoch" in told:
            epochs.append(told)
    return tuple(epochs)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
