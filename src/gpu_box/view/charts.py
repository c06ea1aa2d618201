"""Charts as SVG text. Colours are CSS classes, so the page chooses light or dark. Each mark has a title."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from math import floor, isfinite, log10

WIDTH, LEFT, RIGHT = 960.0, 76.0, 16.0
_STEPS = [
    timedelta(minutes=10), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=6),
    timedelta(hours=12), timedelta(days=1), timedelta(days=2), timedelta(days=7),
]  # fmt: skip
_MOST_TICKS = 9


@dataclass(frozen=True)
class Line:
    """points: (x, y) in axis units. kind: the CSS class, which sets colour, marker and dashes."""

    label: str
    kind: str
    points: Sequence[tuple[float, float]]

    def within(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> Line:
        """Drop points left and right of the chart; draw those above and below at its edge."""
        low, high = y_range
        kept = ((x, min(max(y, low), high)) for x, y in self.points if x_range[0] <= x <= x_range[1])
        return Line(self.label, self.kind, [(x, y) for x, y in kept if isfinite(y)])


def figure(label: str, height: float, parts: Sequence[str]) -> str:
    """label: what the chart shows, for screen readers. A narrow screen scrolls it sideways."""
    opening = f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">'
    return f'<div class="chart">{opening}{"".join(parts)}</svg></div>'


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "axis") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def bar(x: float, y: float, width: float, height: float, kind: str, title: str) -> str:
    """title: a tooltip, also read by screen readers."""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.0):.1f}" height="{height:.1f}">'
        f"<title>{escape(title)}</title></rect>"
    )


def rule(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Map [low, high] to [start, end] linearly."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def round_top(value: float) -> float:
    """Smallest axis maximum with four round steps that is not below `value`, which is positive."""
    part = value / 4
    power = 10.0 ** floor(log10(part))
    return 4 * next(step * power for step in (1, 2, 2.5, 3, 5, 10) if step * power >= part * 0.999)


def tick_words(values: Sequence[float]) -> list[str]:
    """Format the values with the fewest decimals that show all of them exactly: 0.00, 0.25, 0.50."""
    places = next((n for n in range(4) if all(abs(v - round(v, n)) < 1e-9 for v in values)), 4)
    return [f"{value:.{places}f}" for value in values]


def time_ticks(begin: datetime, end: datetime) -> Iterator[tuple[datetime, str]]:
    """Round local times between `begin` and `end`, with their labels."""
    span = end - begin
    step = next((step for step in _STEPS if span / step <= _MOST_TICKS), _STEPS[-1])
    local = begin.astimezone()
    at = local.replace(hour=0, minute=0, second=0, microsecond=0)
    while at <= end:
        if at >= local:
            midnight = not (at.hour or at.minute)
            yield at, f"{at:%b %d}" if midnight else f"{at:%H:%M}"
        at += step


def lines_chart(
    label: str,
    lines: Sequence[Line],
    *,
    height: float,
    x_ticks: Sequence[tuple[float, str]],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    y_unit: str = "",
    width: float = WIDTH,
) -> list[str]:
    """The chart's parts; `shifted` places several side by side. Lines differ by colour, dashes and marker.

    y_unit: follows each label of the y axis, such as " %".
    """
    top, bottom = 26.0, height - 24.0
    x, y = scale(*x_range, LEFT, width - RIGHT), scale(*y_range, bottom, top)
    parts = [text(LEFT, 14, label, kind="name")]
    values = [y_range[0] + share * (y_range[1] - y_range[0]) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for value, words in zip(values, tick_words(values), strict=True):
        parts += [rule(LEFT, y(value), width - RIGHT, y(value))]
        parts += [text(LEFT - 8, y(value) + 4, words + y_unit, anchor="end")]
    parts += [text(x(at), bottom + 17, words, anchor="middle") for at, words in x_ticks]
    legend = width - RIGHT
    for line in reversed(lines if len(lines) > 1 else []):  # the chart's label names a single line
        legend -= 7.0 * len(line.label) + 34
        parts += [f'<line class="{line.kind}" x1="{legend:.1f}" y1="10" x2="{legend + 22:.1f}" y2="10"/>']
        parts += [text(legend + 27, 14, line.label)]
    for line in (line.within(x_range, y_range) for line in lines):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line.points)
        parts.append(f'<polyline class="{line.kind}" points="{path}"/>')
        if len(line.points) <= 60:
            for a, b in line.points:
                title = f"{line.label} {b:.3g}{y_unit}"
                parts.append(
                    f'<circle class="{line.kind}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3">'
                    f"<title>{escape(title)}</title></circle>"
                )
    return parts


def shifted(parts: Sequence[str], x: float) -> str:
    return f'<g transform="translate({x:.0f} 0)">{"".join(parts)}</g>'
