"""PURE: the limits that a box runs with, noted in an EC2 tag, and whether a config would loosen them.

A config found in another folder, or none, must not give a running box more hours or more money.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.model.observed import Instance
from gpu_box.plan.steps import NoteLimits
from gpu_box.units import format_duration, format_money

_DAY = timedelta(days=1)


class LooserLimits(InputError):
    """A person has to agree before a running box gets these. `lines`: as of `kept`."""

    def __init__(self, lines: tuple[str, ...], *, where: str) -> None:
        super().__init__("; ".join(lines), where=where, remedy="Pass --yes to loosen them.")
        self.lines = lines


def tag(config: Config) -> str:
    """Seconds, UTC-free wall-clock time, US dollars; in the characters that a tag's value may have."""
    at, budget = config.limits.stop_at, config.limits.budget
    return (
        f"max_hours={config.limits.max_hours.total_seconds():.0f} "
        f"stop_at={f'{at:%H:%M}' if at else ''} budget={budget if budget is not None else ''} "
        f"idle_after={config.idle.after.total_seconds():.0f} "
        f"stuck_after={config.idle.stuck_after.total_seconds():.0f}"
    )


def note(config: Config, instance: Instance) -> list[NoteLimits]:
    """What brings the tag up to date."""
    wanted = tag(config)
    return [] if instance.limits == wanted else [NoteLimits(instance_id=instance.id, value=wanted)]


def kept(config: Config, instance: Instance | None) -> tuple[Config, tuple[str, ...]]:
    """The config with every limit that is tighter on the running box, and a line for each of those.

    A box that is stopped has no limits to keep, unless it is stopped only for `resize` or `bake`.
    """
    if instance is None or not (instance.state.bills or instance.resizing or instance.baking):
        return config, ()
    return _tighter(config, instance)


def changed(config: Config, instance: Instance) -> bool:
    """Whether `limits` differs from what the box runs with. False without a tag (an older gpu-box)."""
    if not instance.limits:
        return False
    before, now = _parsed(instance.limits), _parsed(tag(config))
    return any(before.get(key) != now.get(key) for key in ("max_hours", "stop_at", "budget"))


def looser(config: Config, instance: Instance | None) -> tuple[str, ...]:
    """As the lines of `kept`, also for a stopped box."""
    return _tighter(config, instance)[1] if instance else ()


def _tighter(config: Config, instance: Instance) -> tuple[Config, tuple[str, ...]]:
    limits, idle, lines = config.limits, config.idle, []
    for key, on_box in _parsed(instance.limits).items():
        in_config = getattr(limits if hasattr(limits, key) else idle, key)
        if _rank(in_config, instance.launched) <= _rank(on_box, instance.launched):
            continue
        section = "limits" if hasattr(limits, key) else "idle"
        lines.append(f"{section}.{key} is {_shown(on_box)} on the box and {_shown(in_config)} here")
        if section == "limits":
            limits = replace(limits, **{key: on_box})
        else:
            idle = replace(idle, **{key: on_box})
    return replace(config, limits=limits, idle=idle), tuple(lines)


def _parsed(value: str) -> dict[str, Any]:
    """By key of the config; without what the tag does not tell, which anybody may have edited."""
    words = dict(word.partition("=")[::2] for word in value.split())
    read: dict[str, Any] = {}
    for key, name in (("max_hours", "max_hours"), ("after", "idle_after"), ("stuck_after", "stuck_after")):
        if (text := words.get(name, "")).isascii() and text.isdigit() and len(text) < 10:
            read[key] = timedelta(seconds=int(text))
    try:
        if words.get("stop_at"):
            read["stop_at"] = time.fromisoformat(words["stop_at"]).replace(tzinfo=None)
    except ValueError:
        pass
    try:
        if words.get("budget") and (usd := Decimal(words["budget"])).is_finite() and usd > 0:
            read["budget"] = usd
    except InvalidOperation:
        pass
    return read


def _rank(limit: Any, launched: datetime) -> Any:
    """Larger is looser. A time of day counts from the box's start; None is no limit."""
    if limit is None:
        return float("inf")
    if isinstance(limit, timedelta):
        return limit.total_seconds()
    if isinstance(limit, time):
        start = launched.astimezone()
        at = datetime.combine(start.date(), limit).astimezone()
        return ((at - start) % _DAY).total_seconds()
    return limit


def _shown(limit: Any) -> str:
    if limit is None:
        return "not set"
    if isinstance(limit, timedelta):
        return format_duration(limit)
    return f"{limit:%H:%M}" if isinstance(limit, time) else format_money(limit)
