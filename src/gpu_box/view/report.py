"""`report`: one self-contained HTML file about a box, light or dark as the reader prefers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import escape
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_box.units import format_duration, format_money
from gpu_box.view import charts
from gpu_box.view.why import stop_line

if TYPE_CHECKING:
    from gpu_box.box.report import Report
    from gpu_box.model.watch import Activity

_SIGNALS = ("ssh", "cpu", "disk", "network", "gpu", "jupyter", "job", "keep")
_DAYS_SHOWN = 31
_ROW = 22.0
_MOST = 1e9  # of a figure of a training
# The page loads nothing from elsewhere, even if a name in it contains markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report_html(found: Report) -> str:
    """The whole page. A section without data is left out or says why."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    sections = [
        _head(found),
        _cards(found),
        _section("What it did", _activity(found)),
        _section("Money a day", _money(found)),
        _section("Training", _training(found)),
        f"<footer><p>Made by <code>gpu-box report</code>, {_moment(found.made)}. "
        f"Prices: {escape(found.prices or 'unknown')}. "
        "Costs are computed from AWS's launch and stop times; AWS's bill is authoritative.</p></footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(found.box)}: gpu-box report</title><style>{style}</style></head>\n<body>"
        + "\n".join(part for part in sections if part)
        + "</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _head(found: Report) -> str:
    what = f"{found.type} in {found.region}" if found.type else f"no box in {found.region}"
    stopped = f"<p>stopped {escape(stop_line(found.stopped))}</p>" if found.stopped else ""
    return f"<h1>{escape(found.box)}: {escape(found.state)}</h1><p>{escape(what)}</p>{stopped}"


def _cards(found: Report) -> str:
    figures: list[tuple[str, str]] = []
    if found.spent:
        if found.spent.session:
            figures.append((format_money(found.spent.session), "this session"))
        figures.append((format_money(found.spent.today), "today (UTC)"))
        month = "this month"
        if found.usd_budget:
            month += f", {found.spent.month / found.usd_budget:.0%} of {format_money(found.usd_budget)}"
        figures.append((format_money(found.spent.month), month))
    if found.usd_hour is not None:
        figures.append((format_money(found.usd_hour), "an hour while it runs"))
    if found.usd_month_stopped is not None:
        figures.append((format_money(found.usd_month_stopped), "a month for the disk"))
    cards = "".join(f'<div class="card"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in figures)
    return f'<div class="cards">{cards}</div>' if cards else ""


def _activity(found: Report) -> str:
    activity = found.activity
    if activity is None or not activity.spans:
        return "<p>Unknown: the box is stopped, and this laptop has no earlier record of it.</p>"
    old = found.activity_of is not None and found.made - found.activity_of > timedelta(minutes=1)
    note = f"<p>As of {_moment(found.activity_of)}.</p>" if old and found.activity_of else ""
    key = (
        '<p class="key"><i style="background:var(--used)"></i>in use'
        '<i style="background:var(--idle)"></i>idle, counting down'
        '<i style="background:var(--off)"></i>went down</p>'
    )
    begin = activity.spans[0].begin
    end = max(activity.spans[-1].end, *(at for at, _ in activity.stops), begin + timedelta(minutes=10))
    return note + _timeline(activity, begin, end) + key + _curves(activity, begin, end) + _stops(activity)


def _timeline(activity: Activity, begin: datetime, end: datetime) -> str:
    used = {name for span in activity.spans for name in span.signals}
    rows = [name for name in _SIGNALS if name in used]
    top = 24.0
    height = top + _ROW * (len(rows) + 1) + 6
    x = charts.scale(begin.timestamp(), end.timestamp(), charts.LEFT, charts.WIDTH - charts.RIGHT)
    parts = []
    for at, words in charts.time_ticks(begin, end):
        parts.append(charts.rule(x(at.timestamp()), top - 4, x(at.timestamp()), height))
        parts.append(charts.text(x(at.timestamp()), top - 9, words, anchor="middle"))
    for number, name in enumerate([*rows, "verdict"]):
        y = top + number * _ROW
        parts.append(charts.text(charts.LEFT - 8, y + 15, name, anchor="end", kind="name"))
        for span in activity.spans:
            left, width = x(span.begin.timestamp()), x(span.end.timestamp()) - x(span.begin.timestamp())
            when = f"{_moment(span.begin)} to {span.end.astimezone():%H:%M}"
            if name == "verdict":
                kind = "used" if span.state in ("active", "held") else "idle"  # held counts as in use
                title = f"{when}: {span.state}"
            else:
                kind = "used" if name in span.signals else "rest"
                title = f"{when}: {name} {'in use' if name in span.signals else 'quiet'}"
            parts.append(charts.bar(left, y + 3, width, _ROW - 6, kind, title))
    for at, why in (stop for stop in activity.stops if stop[0] >= begin):
        mark = x(at.timestamp())
        title = f"{_moment(at)}: {why}"
        parts.append(charts.bar(mark - 2, top, 4, _ROW * (len(rows) + 1), "off", title))
    return charts.figure("Which signals were in use when, and the watcher's verdict", height, parts)


def _curves(activity: Activity, begin: datetime, end: datetime) -> str:
    ticks = [(at.timestamp(), words) for at, words in charts.time_ticks(begin, end)]
    x_range = begin.timestamp(), end.timestamp()
    drawn = []
    if activity.gpu:
        points = [(at.timestamp(), percent) for at, percent in activity.gpu]
        parts = charts.lines_chart(
            "GPU, per cent of the busiest", [charts.Line("GPU", "first", points)], height=150,
            x_ticks=ticks, x_range=x_range, y_range=(0, 100), y_unit=" %",
        )  # fmt: skip
        drawn.append(charts.figure("GPU utilisation over time", 150, parts))
    if activity.cpu:
        points = [(at.timestamp(), cores) for at, cores in activity.cpu]
        most = charts.round_top(max(1.0, *(cores for _, cores in points)))
        parts = charts.lines_chart(
            "CPU, cores of people's processes", [charts.Line("CPU", "first", points)], height=150,
            x_ticks=ticks, x_range=x_range, y_range=(0, most),
        )  # fmt: skip
        drawn.append(charts.figure("CPU cores in use over time", 150, parts))
    return "".join(drawn)


def _stops(activity: Activity) -> str:
    if not activity.stops:
        return ""
    rows = [
        f"<tr><td>{escape(_moment(at))}</td><td>{escape(why)}</td></tr>"
        for at, why in reversed(activity.stops)
    ]
    return f"<h2>When it went down, and why</h2><table>{''.join(rows)}</table>"


def _money(found: Report) -> str:
    if not found.days:
        return ""
    last = found.made.astimezone(UTC).date()
    shown = [last - timedelta(days=back) for back in range(_DAYS_SHOWN - 1, -1, -1)]
    most = charts.round_top(
        float(max([*(found.days.get(day, Decimal(0)) for day in shown), Decimal("0.01")]))
    )
    top, bottom = 12.0, 150.0
    y = charts.scale(0, most, bottom, top)
    step = (charts.WIDTH - charts.LEFT - charts.RIGHT) / len(shown)
    parts = []
    for share in (0.0, 0.5, 1.0):
        value = most * share
        parts += [charts.rule(charts.LEFT, y(value), charts.WIDTH - charts.RIGHT, y(value))]
        words = format_money(Decimal(value).quantize(Decimal("0.001")))
        parts += [charts.text(charts.LEFT - 8, y(value) + 4, words, anchor="end")]
    for number, day in enumerate(shown):
        usd = found.days.get(day, Decimal(0))
        left = charts.LEFT + number * step
        if usd:
            title = f"{day:%a %b %d}: {format_money(usd)}"
            parts.append(charts.bar(left + 2, y(float(usd)), step - 4, bottom - y(float(usd)), "used", title))
        if number % 5 == 0:
            parts.append(charts.text(left + step / 2, bottom + 17, f"{day:%b %d}", anchor="middle"))
    drawn = charts.figure("US dollars a day, the last 31 days", bottom + 26, parts)
    return f"{drawn}{_months(found.days)}"


def _months(days: dict[date, Decimal]) -> str:
    months: dict[str, Decimal] = {}
    for day, usd in days.items():
        months[f"{day:%Y-%m}"] = months.get(f"{day:%Y-%m}", Decimal(0)) + usd
    rows = [
        f'<tr><td>{month}</td><td class="number">{format_money(usd)}</td></tr>'
        for month, usd in sorted(months.items(), reverse=True)
    ]
    return f'<table><tr><th>month (UTC)</th><th class="number">cost</th></tr>{"".join(rows)}</table>'


def _training(found: Report) -> str:
    epochs = found.epochs
    if not epochs:
        return ""
    ticks = _epoch_ticks(len(epochs))
    half = charts.WIDTH / 2

    def chart(label: str, figures: tuple[str, str], y_range: tuple[float, float], unit: str) -> list[str]:
        names = zip(("training", "held out"), ("first", "second"), figures, strict=True)
        times = 100 if unit else 1
        lines = [
            charts.Line(name, kind, [(at, value * times) for at, value in _points(epochs, key)])
            for name, kind, key in names
        ]
        return charts.lines_chart(
            label, [line for line in lines if line.points], height=220, width=half,
            x_ticks=ticks, x_range=(0.5, len(epochs) + 0.5), y_range=y_range,
            y_unit=unit,
        )  # fmt: skip

    losses = [value for key in ("train_loss", "valid_loss") for _, value in _points(epochs, key)]
    accuracies = [value for key in ("train_accuracy", "valid_accuracy") for _, value in _points(epochs, key)]
    least = 20.0 * floor(5 * min([0.5, *accuracies]))
    parts = chart("accuracy", ("train_accuracy", "valid_accuracy"), (least, 100.0), " %")
    most = charts.round_top(max([0.1, *losses]))
    loss = chart("loss, nats a picture", ("train_loss", "valid_loss"), (0.0, most), "")
    drawn = charts.figure("Accuracy and loss by epoch", 220, [*parts, charts.shifted(loss, half)])
    return f"<p>{escape(_run_line(found.run, epochs))}</p>{drawn}"


def _run_line(run: dict[str, Any], epochs: Sequence[dict[str, Any]]) -> str:
    parts = [f"{len(epochs)} epoch{'' if len(epochs) == 1 else 's'}"]
    if (accuracy := _figure(run.get("held_out_accuracy"))) is not None:
        parts.append(f"held-out accuracy {accuracy:.1%}")
    if (seconds := _figure(run.get("seconds"))) is not None:
        parts.append(f"in {format_duration(timedelta(seconds=max(seconds, 0)))}")
    rates = [value for _, value in _points(epochs, "images_per_s")]
    if rates:
        parts.append(f"{rates[-1]:,.0f} images/s in the last epoch")
    return ", ".join(parts)


def _points(epochs: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    figures = ((number, _figure(epoch.get(key))) for number, epoch in enumerate(epochs, start=1))
    return [(float(number), figure) for number, figure in figures if figure is not None]


def _figure(value: Any) -> float | None:
    """None for what is no number that a chart can show."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST < value < _MOST:
        return None
    return float(value)


def _epoch_ticks(count: int) -> list[tuple[float, str]]:
    every = max(1, -(-count // 10))
    return [(float(number), str(number)) for number in range(every, count + 1, every)]


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone():%a %b %d %H:%M}" if at else ""
