"""Parse and format durations, money and sizes."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?", re.ASCII)
_MOST_DIGITS = 12
_MONEY = re.compile(r"\$? ?(\d{1,40}(?:\.\d{1,6})?)", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """ "30m", "2h", "1h30m", "1d". Raises ValueError with the expected form."""
    compact = text.replace(" ", "").lower()
    match = _DURATION.fullmatch(compact)
    if not compact or match is None:
        number = compact.lstrip("0") if re.fullmatch("[0-9]{1,6}", compact) else ""
        hint = f"; {number}m or {number}h?" if number else ""
        raise ValueError(f"{text[:60]!r} is not a duration such as 30m, 2h or 1h30m{hint}")
    parts = [part or "0" for part in match.groups()]
    if max(map(len, parts)) > _MOST_DIGITS:
        raise ValueError(f"{text[:60]!r} is too long")
    days, hours, minutes, seconds = map(int, parts)
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text[:60]!r} is too long") from None


def format_duration(value: timedelta) -> str:
    """ "45 s", "18 min", "2 h 05 min", "3 d 4 h": the two largest units."""
    seconds = max(0, round(value.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def parse_money(text: str) -> Decimal:
    """ "50", "$50", "49.99": US dollars, above zero. Raises ValueError."""
    match = _MONEY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:60]!r} is not an amount of US dollars such as 50 or 49.99")
    value = Decimal(match[1])
    if not value:
        raise ValueError(f"{text!r} is not an amount above zero")
    return value


def format_money(value: Decimal) -> str:
    """ "$12.34"; below a dollar with a tenth of a cent if there is one: "$0.526"."""
    if 0 < value < 1:
        tenths = value.quantize(Decimal("0.001"), ROUND_HALF_UP)
        return f"${tenths}" if tenths % Decimal("0.01") else f"${tenths.quantize(Decimal('0.01'))}"
    return f"${value.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def format_bytes(count: int) -> str:
    """Decimal units, as disks and networks are sold: "831 B", "20.3 MB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if round(value, 1) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
