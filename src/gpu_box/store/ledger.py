"""What instances have cost, remembered on this laptop: AWS's tags go with an instance that is taken down.

For a box that exists, AWS's tags are the truth, and nothing here counts. Whoever loses this file loses what
gone instances cost, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from gpu_box.files import write_whole
from gpu_box.model.spending import added

_KEPT = timedelta(days=400)
Ledger = dict[str, dict[date, Decimal]]
"""US dollars of each day by instance id."""


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
    with suppress(OSError):
        write_whole(path, json.dumps({one: of for one, of in kept.items() if of}))


def gone(path: Path, existing: Iterable[str]) -> dict[date, Decimal]:
    """US dollars of each day that instances have cost which are there no more."""
    there = set(existing)
    return added(*(days for instance, days in read(path).items() if instance not in there))
