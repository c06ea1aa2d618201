"""The live panel: its countdown runs between updates, gauges also have numbers, a silent box is marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from rich.theme import Theme

from gpu_box.machine.watcher import parse_reading
from gpu_box.model.answer import Fields, Malformed
from gpu_box.model.observed import Observed
from gpu_box.model.results import StatusView
from gpu_box.model.watch import Reading
from gpu_box.view.panel import Panel

NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
VIEW = StatusView(
    box="ada",
    state="running",
    region="eu-west-1",
    type="g4dn.xlarge",
    zone="eu-west-1a",
    since=NOW - timedelta(hours=2),
    uptime=timedelta(hours=2),
    usd_hour=Decimal("0.53"),
    usd_session=Decimal("1.06"),
    deadline=NOW + timedelta(hours=10),
    observed=Observed(region="eu-west-1"),
)
RAW: dict[str, Any] = {
    "at": NOW.timestamp(),
    "status": {
        "verdict": {"state": "active", "reason": "active: gpu 0", "stops_in": 1700.0},
        "signals": {
            "jupyter": {"reading": {"kernels": [{"name": "lesson1.ipynb", "state": "busy", "cores": 0.98}]}},
            "job": {"reading": [{"name": "train", "cores": 1.5, "gpu": True}]},
        },
    },
    "cores": 4,
    "load": 2.0,
    "memory": [4e9, 16e9],
    "gpus": [{"name": "Tesla T4", "percent": 97.0, "memory": [9e9, 15e9], "celsius": 61.0}],
}


def drawn(
    reading: Reading | None, *, trouble: str = "", later: float = 0, view: StatusView = VIEW, width: int = 80
) -> str:
    theme = Theme({name: "default" for name in ("good", "bad", "warn", "quiet", "what")})
    console = Console(file=StringIO(), width=width, theme=theme, highlight=False)
    console.print(
        Panel(view=view, reading=reading, trouble=trouble, clock=lambda: NOW + timedelta(seconds=later))
    )
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_gpu_cpu_memory_kernels_jobs_money_and_the_countdown_are_there() -> None:
    text = drawn(parse_reading(Fields(RAW)))
    for words in (
        "ada  running for 2 h",
        "28:20 unless used",
        "97 %  Tesla T4, 9.0 GB of 15.0 GB, 61 °C",
        "50 %  load 2.0 of 4 cores",
        "25 %  4.0 GB of 16.0 GB",
        "lesson1.ipynb: busy, 0.98 cores",
        "train: 1.50 cores, on the GPU",
        "$1.06 this session",
    ):
        assert words in text, words
    assert max(map(len, text.splitlines())) <= 80


def test_the_countdown_goes_on_between_two_looks() -> None:
    assert "28:10 unless used" in drawn(parse_reading(Fields(RAW)), later=10)


def test_a_deadline_that_comes_first_is_the_one_that_counts() -> None:
    near = replace(VIEW, deadline=NOW + timedelta(minutes=5))
    assert "5:00 even if used" in drawn(parse_reading(Fields(RAW)), view=near)


def test_a_box_that_says_nothing_is_said_to() -> None:
    assert "no answer from the box for 45 s" in drawn(parse_reading(Fields(RAW)), later=45)
    assert "refused" in drawn(None, trouble="connection refused")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"gpus": None}, "nvidia-smi does not answer"),
        ({"gpus": [{**RAW["gpus"][0], "percent": None, "celsius": None}]}, "Tesla T4, 9.0 GB of 15.0 GB"),
        ({"memory": None}, "load 2.0"),
        ({"status": {"verdict": None, "signals": {}}}, "no sample yet"),
    ],
)
def test_an_unknown_value_spoils_no_other(changed: dict[str, Any], words: str) -> None:
    assert words in drawn(parse_reading(Fields({**RAW, **changed})))


@pytest.mark.parametrize("raw", [{}, {**RAW, "cores": None}, {**RAW, "gpus": [{}]}, []])
def test_a_line_that_is_none_is_refused(raw: Any) -> None:
    with pytest.raises(Malformed):
        parse_reading(Fields(raw))
