"""The idle policy and limits that the config sets for the watcher."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WatchPolicy:
    """The JSON object of the box's policy.json; remote/watch/policy.py uses the same names.

    idle_after and stuck_after are the config's `idle.after` and `idle.stuck_after`, in seconds.
    """

    idle_after: float = 1800.0
    stuck_after: float = 7200.0
    max_hours: float = 12.0  # `limits.max_hours`, hours after boot
    stop_at: str | None = None  # `limits.stop_at`, "23:00"
    notice: float = 0.0  # seconds between checks for a spot interruption notice; 0: never
    tz: str | None = None  # time zone of stop_at, "Europe/Berlin"; None: the machine's own
