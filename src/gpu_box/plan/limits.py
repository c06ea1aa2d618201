"""PURE: the limits that a box runs with, kept in an EC2 tag, and whether a config would loosen them.

Another folder's config, or none, must not give a running box more hours or a larger budget. The limits of one
run (`up --for 3h --at-most 5`) hold until the box stops, or a person extends it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.model.observed import Instance
from gpu_box.units import format_duration, format_money

if TYPE_CHECKING:
    from gpu_box.model.spending import Rates

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
# The limits that the deadline in AWS depends on.
_MOVING = ("max_hours", "stop_at", "budget", "run_for", "run_usd")


class LooserLimits(InputError):
    """The user must agree to give a running box these limits. `lines`: as in `kept`."""

    def __init__(self, lines: tuple[str, ...], *, where: str) -> None:
        super().__init__("; ".join(lines), where=where, remedy="Pass --yes to loosen them.")
        self.lines = lines


def tag(config: Config) -> str:
    """Seconds, local wall-clock time and US dollars, in characters that are valid in a tag."""
    at, budget = config.limits.stop_at, config.limits.budget
    return (
        f"max_hours={config.limits.max_hours.total_seconds():.0f} "
        f"stop_at={f'{at:%H:%M}' if at else ''} budget={budget if budget is not None else ''} "
        f"idle_after={config.idle.after.total_seconds():.0f} "
        f"stuck_after={config.idle.stuck_after.total_seconds():.0f}" + _run_words(config)
    )


def _run_words(config: Config) -> str:
    seconds = f" run_for={config.run_for.total_seconds():.0f}" if config.run_for else ""
    extended = " run_extended=1" if config.run_extended else ""
    return seconds + (f" run_usd={config.run_usd:f}" if config.run_usd else "") + extended


def kept(config: Config, instance: Instance | None) -> tuple[Config, tuple[str, ...]]:
    """The config with every limit that is tighter on the running box, and a line for each of them.

    A stopped box has no limits to keep, unless `resize` or `bake` stopped it.
    """
    if instance is None or not (instance.state.bills or instance.resizing or instance.baking):
        return config, ()
    tighter, lines = _tighter(config, instance)
    return with_run(tighter, instance), lines


def with_run(config: Config, instance: Instance | None) -> Config:
    """The config with the limits of the running box's run, or its own where they are tighter.

    A run that a person has extended keeps its own.
    """
    if instance is None or not (instance.state.bills or instance.resizing or instance.baking):
        return config
    span, usd = _run_of(instance)
    if run_extended(instance):
        return replace(config, run_for=span, run_usd=usd, run_extended=True)
    spans, amounts = (
        [one for one in (span, config.run_for) if one],
        [one for one in (usd, config.run_usd) if one],
    )
    return replace(config, run_for=min(spans, default=None), run_usd=min(amounts, default=None))


def run_shown(instance: Instance | None) -> str:
    """The limits of the box's run, as in "3 h and $5.00"; "" without any."""
    span, usd = _run_of(instance) if instance else (None, None)
    return " and ".join([*([format_duration(span)] if span else []), *([format_money(usd)] if usd else [])])


def run_until(config: Config, instance: Instance, at: datetime, rates: Rates | None) -> str:
    """The tag of the box whose run a person extends to `at`; as it is if the run has no limits."""
    span, usd = _run_of(instance)
    if span is None and usd is None:
        return instance.limits
    longer = at - instance.launched
    if usd is not None and rates is not None:
        cost = Decimal(int(longer.total_seconds())) / 3600 * (rates.hour + rates.disk(_HOUR))
        usd = max(usd, cost.quantize(Decimal("0.01"), ROUND_UP))
    if span is not None:
        span = max(span, longer)
    words = [word for word in instance.limits.split() if not word.startswith("run_")]
    return " ".join(words) + _run_words(replace(config, run_for=span, run_usd=usd, run_extended=True))


def run_extended(instance: Instance) -> bool:
    """Whether a person has extended this run, which has limits of its own."""
    return "run_extended=1" in instance.limits.split() and any(_run_of(instance))


def _run_of(instance: Instance) -> tuple[timedelta | None, Decimal | None]:
    parsed = _parsed(instance.limits)
    return parsed.get("run_for"), parsed.get("run_usd")


def changed(config: Config, instance: Instance) -> bool:
    """Whether `limits` differs from the box's. False without a tag (set by an older gpu-box)."""
    if not instance.limits:
        return False
    before, now = _parsed(instance.limits), _parsed(tag(config))
    return any(before.get(key) != now.get(key) for key in _MOVING)


def looser(config: Config, instance: Instance | None) -> tuple[str, ...]:
    """The lines of `kept`, also for a stopped box."""
    return _tighter(config, instance)[1] if instance else ()


def _tighter(config: Config, instance: Instance) -> tuple[Config, tuple[str, ...]]:
    limits, idle, lines = config.limits, config.idle, []
    for key, on_box in _parsed(instance.limits).items():
        if key.startswith("run_"):
            continue
        in_config = getattr(limits if hasattr(limits, key) else idle, key)
        if _rank(in_config, instance.launched) <= _rank(on_box, instance.launched):
            continue
        section = "limits" if hasattr(limits, key) else "idle"
        lines.append(f"{section}.{key} is {_shown(on_box)} on the box and {_shown(in_config)} in the config")
        if section == "limits":
            limits = replace(limits, **{key: on_box})
        else:
            idle = replace(idle, **{key: on_box})
    return replace(config, limits=limits, idle=idle), tuple(lines)


def _parsed(value: str) -> dict[str, Any]:
    """By config key; invalid values are skipped, because anybody may have edited the tag."""
    words = dict(word.partition("=")[::2] for word in value.split())
    read: dict[str, Any] = {}
    for key, name in (
        ("max_hours", "max_hours"),
        ("after", "idle_after"),
        ("stuck_after", "stuck_after"),
        ("run_for", "run_for"),
    ):
        if (text := words.get(name, "")).isascii() and text.isdigit() and len(text) < 10:
            read[key] = timedelta(seconds=int(text))
    try:
        if words.get("stop_at"):
            read["stop_at"] = time.fromisoformat(words["stop_at"]).replace(tzinfo=None)
    except ValueError:
        pass
    for key in ("budget", "run_usd"):
        with suppress(InvalidOperation):
            if words.get(key) and (usd := Decimal(words[key])).is_finite() and usd > 0:
                read[key] = usd
    return read


def _rank(limit: Any, launched: datetime) -> Any:
    """Larger is looser. A time of day counts from the box's start; None means no limit."""
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
