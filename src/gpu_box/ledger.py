"""What instances have cost, remembered on this laptop: AWS's tags go with an instance that is taken down.

For a box that exists, AWS's tags are the truth, and nothing here counts. Whoever loses this file loses what
gone instances cost, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from gpu_box.home import data_home
from gpu_box.spending import added

_KEPT = timedelta(days=400)
Ledger = dict[str, dict[date, Decimal]]
"""US dollars of each day by instance id."""


def path_of(*, cloud: str, profile: str | None, region: str, box: str) -> Path:
    """cloud: the host and port that EC2 answers on: what another cloud billed is nothing to this one."""
    parts = [re.sub(r"[^A-Za-z0-9.-]", "_", part) for part in (cloud, profile or "default", region, box)]
    return data_home().joinpath("ledger", *parts[:-1], f"{parts[-1]}.json")


def read(path: Path) -> Ledger:
    """Empty where there is none, or where it is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(instance): {date.fromisoformat(day): Decimal(usd) for day, usd in days.items()}
            for instance, days in told.items()
        }
    except (OSError, ValueError, AttributeError, TypeError, InvalidOperation):
        return {}


def note(path: Path, instance: str, days: Mapping[date, Decimal], *, today: date) -> None:
    """What this instance has cost until now, in place of what was noted before. Never fails a command."""
    known = read(path)
    if known.get(instance) == days:
        return
    known[instance] = dict(days)
    kept = {
        one: {f"{day}": f"{usd}" for day, usd in of.items() if today - day < _KEPT}
        for one, of in known.items()
    }
    text = json.dumps({one: of for one, of in kept.items() if of})
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, also with two commands at once.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)


def gone(path: Path, existing: Iterable[str]) -> dict[date, Decimal]:
    """US dollars of each day that instances have cost which are there no more."""
    there = set(existing)
    return added(*(days for instance, days in read(path).items() if instance not in there))
