"""The report is one file with nothing from elsewhere in it, and shows what it was given."""

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
from gpu_box.view import svg
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
        "prices": "us-east-1 table of 2026-08",
        "stopped": Stopped(at=at(220), layer="watcher", reason="idle 30 min"),
        "activity": ACTIVITY,
        "activity_of": NOW,
        "epochs": EPOCHS,
        "run": {"held_out_accuracy": 0.9412, "seconds": 731},
    }
    return Report(**{**known, **changed})


class Page(HTMLParser):
    """Every element is closed, and nothing is asked of anywhere."""

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


def test_it_is_one_whole_file_that_asks_nobody_for_anything() -> None:
    html = report_html(report())
    page = Page(html)
    assert page.open == [] and page.asked == []
    assert not re.search(r"https?://|url\(|@import", html)
    assert "default-src 'none'" in html


def test_money_stops_and_training_are_told_in_words_too() -> None:
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
        "us-east-1 table of 2026-08",
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


def test_what_the_box_said_before_is_told_with_its_time() -> None:
    old = NOW - timedelta(days=2)
    assert "As the box said" in Page(report_html(report(activity_of=old))).text
    assert "As the box said" not in Page(report_html(report())).text


def test_an_answer_that_is_none_is_refused() -> None:
    for text in ("{}", "[]", '{"spans": [[1]], "gpu": [], "cpu": [], "stops": []}', "no JSON"):
        with pytest.raises(ValueError):
            parse_activity(text)


@pytest.mark.parametrize(
    ("value", "top"),
    [(0.01, 0.01), (0.9, 1.0), (1.0, 1.0), (1.1, 1.2), (1.5, 2.0), (7.9, 8.0), (96.0, 100.0)],
)
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert svg.round_top(value) == pytest.approx(top)
