"""Costs of instances, remembered on this laptop because AWS drops the tags of a terminated instance.

For an existing instance only AWS's tags count. Losing the file loses the costs of removed instances.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from gpu_box.files import read_own_json, write_whole
from gpu_box.model.spending import added
from gpu_box.store.files import GARBAGE

_KEPT = timedelta(days=400)
_MOST_USD = 1_000_000  # a day
Ledger = dict[str, dict[date, Decimal]]
"""US dollars per day, by instance id."""


def read(path: Path) -> Ledger:
    """Empty if the file is missing or invalid."""
    try:
        data = read_own_json(path)
        return {
            str(instance): {date.fromisoformat(day): _usd(usd) for day, usd in days.items()}
            for instance, days in data.items()
        }
    except GARBAGE:
        return {}


def _usd(recorded: str) -> Decimal:
    usd = Decimal(recorded)
    if not 0 <= usd < _MOST_USD:  # not a number compares with nothing: InvalidOperation
        raise ValueError
    return usd


def note(path: Path, instance: str, days: Mapping[date, Decimal], *, today: date) -> None:
    """Replace what is recorded for this instance. Errors are ignored."""
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
    """US dollars per day of instances that no longer exist."""
    there = set(existing)
    return added(*(days for instance, days in read(path).items() if instance not in there))
