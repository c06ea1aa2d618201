"""Notices of the laptop: near and past stops, ended jobs, the budget; each once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpu_box.box.notify import Notifier
from gpu_box.config.model import Config, Limits, Notify
from gpu_box.model.observed import Observed, Stopped
from gpu_box.model.results import StatusView
from gpu_box.model.watch import Reading, Task, WatchState

NOW = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
WATCH = WatchState(
    state="idle", reason="idle 21 min", stops_in=timedelta(minutes=9), signals=(), layers=(), stopped=None
)
READING = Reading(at=NOW, watch=WATCH, cores=4, load=0.0, memory=None, gpus=(), tasks=())


def status(*, month: str = "1", stopped: Stopped | None = None) -> StatusView:
    return StatusView(
        box="ada",
        state="running",
        region="us-east-1",
        usd_month=Decimal(month),
        stopped=stopped,
        observed=Observed(region="us-east-1"),
    )


def reading(*jobs: str, stops_in: float = 30, later: float = 0) -> Reading:
    """Times in minutes."""
    return replace(
        READING,
        at=NOW + timedelta(minutes=later),
        watch=replace(WATCH, stops_in=timedelta(minutes=stops_in)),
        tasks=tuple(Task(kind="job", name=job, doing="1.00 cores") for job in jobs),
    )


class Notices:
    """The notices, in order: "event: text"."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "notices"
        command = f'printf "%s: %s\\n" "$GPU_BOX_EVENT" "$GPU_BOX_TEXT" >>{self._file}'
        self.config = Config(name="ada", limits=Limits(budget=Decimal(50)), notify=Notify(command=command))

    @property
    def lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []


@pytest.fixture
def notices(tmp_path: Path) -> Notices:
    return Notices(tmp_path)


def test_a_near_stop_is_reported_once_and_another_one_again(notices: Notices) -> None:
    notifier = Notifier(notices.config, pytest.fail)
    for minutes in (12, 9, 6):
        notifier.on_reading(reading(stops_in=minutes, later=12 - minutes), None)
    notifier.on_reading(reading(stops_in=30, later=20), None)  # used meanwhile
    notifier.on_reading(reading(stops_in=8, later=60), None)
    notifier.on_reading(reading(stops_in=60, later=100), NOW + timedelta(minutes=105))  # AWS's deadline
    assert [line.partition(" at ")[0] for line in notices.lines] == ["stopping: It stops"] * 3


def test_the_end_of_a_job_is_reported_unless_another_notifier_does(notices: Notices) -> None:
    notifier = Notifier(notices.config, pytest.fail, but="train")
    for jobs in (("train", "etl"), ("train", "etl"), ("train",), ()):
        notifier.on_reading(reading(*jobs), None)
    assert notices.lines == ["job: etl has ended: `gpu-box logs etl` shows its log"]


def test_a_mark_of_the_budget_is_reported_when_it_is_passed(notices: Notices) -> None:
    notifier = Notifier(notices.config, pytest.fail)
    for month in ("30", "39.99", "40.01", "41", "51"):
        notifier.on_status(status(month=month))
    assert notices.lines == [
        "budget: 80 % of this month's budget is spent: $40.01 of $50.00",
        "budget: 100 % of this month's budget is spent: $51.00 of $50.00",
    ]


def test_a_stop_is_reported_with_its_cause_and_only_if_the_box_ran(notices: Notices) -> None:
    why = Stopped(at=NOW, layer="watcher", reason="idle 30 min; last activity: job train 20:40")
    notifier = Notifier(notices.config, pytest.fail)
    notifier.on_end(status(stopped=why))
    assert notices.lines == []
    notifier.on_status(status())
    notifier.on_end(status(stopped=why))
    notifier.on_end(status(stopped=why))
    assert notices.lines == [f"stopped: {why.reason}"]


def test_a_notice_that_cannot_be_given_is_said_to(notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_box.box.notify._PAUSES_S", ())
    problems: list[str] = []
    config = replace(notices.config, notify=Notify(command="echo no bell >&2; exit 3"))
    notifier = Notifier(config, problems.append)
    notifier.on_reading(reading(stops_in=5), None)
    assert problems == ["notify.command failed with exit status 3: no bell"]
