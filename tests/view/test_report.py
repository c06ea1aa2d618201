"""The report is one file without external resources, and shows its data."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from gpu_box.box.report import Report
from gpu_box.machine.watcher import parse_activity
from gpu_box.model.observed import Stopped
from gpu_box.model.spending import Spent
from gpu_box.model.watch import Activity, Span
from gpu_box.view import charts
from gpu_box.view.report import report_html

NOW = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
EVENING = NOW - timedelta(hours=5)


def at(minutes: float) -> datetime:
    return EVENING + timedelta(minutes=minutes)


ACTIVITY = Activity(
    spans=(
        Span(begin=at(0), end=at(40), state="active", signals=("ssh", "cpu")),
        Span(begin=at(40), end=at(190), state="active", signals=("gpu", "job")),
        Span(begin=at(190), end=at(220), state="idle", signals=()),
    ),
    gpu=tuple((at(5 * n), 95.0 if 8 <= n < 38 else 0.0) for n in range(44)),
    cpu=tuple((at(5 * n), 1.5) for n in range(44)),
    stops=((at(220), "idle 30 min; last activity: job train 20:40"),),
)
EPOCHS = tuple(
    {"epoch": n, "train_loss": 1 / n, "valid_loss": 1.1 / n, "train_accuracy": 1 - 0.5 / n,
     "valid_accuracy": 1 - 0.55 / n, "images_per_s": 400.0}
    for n in range(1, 9)
)  # fmt: skip


def report(**changed: Any) -> Report:
    known: dict[str, Any] = {
        "box": "ada",
        "region": "eu-west-1",
        "state": "stopped",
        "type": "g4dn.xlarge",
        "made": NOW,
        "spent": Spent(session=Decimal(0), today=Decimal("1.93"), month=Decimal("21.40")),
        "days": {date(2026, 11, day): Decimal(day) / 10 for day in range(1, 21)}
        | {date(2026, 10, 30): Decimal(2)},
        "usd_budget": Decimal(50),
        "usd_hour": Decimal("0.531"),
        "usd_month_stopped": Decimal(8),
        "prices": "us-east-1 table of 2026-07",
        "stopped": Stopped(at=at(220), layer="watcher", reason="idle 30 min"),
        "activity": ACTIVITY,
        "activity_of": NOW,
        "epochs": EPOCHS,
        "run": {"held_out_accuracy": 0.9412, "seconds": 731},
    }
    return Report(**{**known, **changed})


class Page(HTMLParser):
    """Every element is closed, and nothing is loaded."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asked: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "rect", "line", "circle", "polyline", "i") or tag in ("rect", "circle", "i"):
            self.open.append(tag)
        self.asked += [f"{tag} {k}={v}" for k, v in attrs if k in ("src", "href", "xlink:href", "data")]
        assert tag not in ("script", "link", "img", "iframe", "object")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_is_one_file_that_makes_no_request() -> None:
    html = report_html(report())
    page = Page(html)
    assert page.open == [] and page.asked == []
    assert not re.search(r"https?://|url\(|@import", html)
    assert "default-src 'none'" in html


def test_money_stops_and_training_are_also_text() -> None:
    text = Page(report_html(report())).text
    for words in (
        "ada: stopped",
        "$21.40",
        "43% of $50.00",
        "idle 30 min; last activity: job train 20:40",
        "held-out accuracy 94.1%",
        "in 12 min",
        "400 images/s in the last epoch",
        "2026-10",
        "us-east-1 table of 2026-07",
    ):
        assert words in text, words


def test_signals_have_a_row_each_and_only_those_that_were_used() -> None:
    text = Page(report_html(report())).text
    assert "gpu in use" in text and "job in use" in text
    assert "network in use" not in text and "jupyter quiet" not in text


def test_names_cannot_become_markup() -> None:
    hostile = "</title><script>alert(1)</script>&\"'"
    found = report(
        box=hostile, activity=Activity(spans=ACTIVITY.spans, gpu=(), cpu=(), stops=((at(9), hostile),))
    )
    html = report_html(found)
    assert "<script>" not in html and Page(html).open == []


@pytest.mark.parametrize(
    "missing",
    [
        {"activity": None},
        {"epochs": ()},
        {"days": {}, "spent": None, "usd_hour": None, "usd_month_stopped": None, "prices": ""},
        {"type": None, "state": "none", "stopped": None},
        {"epochs": ({"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "valid_loss": None},)},
        {"activity": Activity(spans=ACTIVITY.spans[:1], gpu=(), cpu=(), stops=())},
    ],
)
def test_what_is_not_known_is_left_out(missing: dict[str, Any]) -> None:
    assert Page(report_html(report(**missing))).open == []


def test_earlier_figures_have_their_time() -> None:
    old = NOW - timedelta(days=2)
    assert "As of " in Page(report_html(report(activity_of=old))).text
    assert "As of " not in Page(report_html(report())).text


def test_an_answer_that_is_none_is_refused() -> None:
    for text in ("[]", '{"spans": [[1]], "gpu": [], "cpu": [], "stops": []}', "no JSON"):
        with pytest.raises(ValueError):
            parse_activity(text)


@pytest.mark.parametrize(
    ("value", "top"),
    [(0.01, 0.01), (0.9, 1.0), (1.0, 1.0), (1.1, 1.2), (1.5, 2.0), (7.9, 8.0), (96.0, 100.0)],
)
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert charts.round_top(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([0, 0.5, 1], ["0.0", "0.5", "1.0"]),
        ([0, 25], ["0", "25"]),
    ],
)
def test_a_tick_says_the_value_that_it_marks(values: list[float], words: list[str]) -> None:
    assert charts.tick_words(values) == words


def test_every_point_and_stop_lies_within_the_axes() -> None:
    early = (at(-60), 50.0)
    odd = Activity(
        spans=ACTIVITY.spans,
        gpu=(early, (at(5), 130.0), (at(10), -3.0), (at(15), float("nan")), (at(20), 50.0)),
        cpu=(),
        stops=((at(-30), "an earlier one"), *ACTIVITY.stops),
    )
    bad = ({"epoch": 1, "train_loss": float("nan"), "train_accuracy": 1.2}, *EPOCHS)
    page = report_html(report(activity=odd, epochs=bad))
    assert "nan" not in page
    for width, height, body in re.findall(r'<svg viewBox="0 0 (\d+) (\d+)".*?>(.*?)</svg>', page):
        places = re.findall(r'(?:c?x\d?)="([-\d.]+)"', body)
        assert all(0 <= float(x) <= int(width) for x in places)
        for points in re.findall(r'points="([^"]+)"', body):
            for x, y in (point.split(",") for point in points.split()):
                assert charts.LEFT <= float(x) <= int(width) and 20 <= float(y) <= int(height) - 20
    assert page.count('class="off"') == 1


def test_figures_that_no_chart_can_show_are_left_out() -> None:
    odd: list[Any] = [
        float("inf"),
        float("nan"),
        10**400,
        -(10**400),
        1e308,
        -1e308,
        True,
        "0.5",
        None,
        [1],
        {},
    ]
    keys = ("train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "images_per_s")
    epochs = tuple({"epoch": value, **dict.fromkeys(keys, value)} for value in odd)
    for value in odd:
        run = {"seconds": value, "held_out_accuracy": value}
        assert "Training" in report_html(report(epochs=(*EPOCHS, *epochs), run=run))
    assert "inf" not in report_html(report(epochs=epochs, run={"seconds": float("inf")}))
