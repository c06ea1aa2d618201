"""What the laptop tells of a box that it looks at: near and past stops, ended jobs, the budget; each once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpu_box.box.notify import Herald
from gpu_box.config.model import Config, Limits, Notify
from gpu_box.model.observed import Observed, Stopped
from gpu_box.model.results import StatusView
from gpu_box.model.watch import Look, Task, WatchState

NOW = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
WATCH = WatchState(
    state="idle", reason="idle 21 min", stops_in=timedelta(minutes=9), signals=(), layers=(), stopped=None
)
LOOK = Look(at=NOW, watch=WATCH, cores=4, load=0.0, memory=None, gpus=(), tasks=())


def status(*, month: str = "1", stopped: Stopped | None = None) -> StatusView:
    return StatusView(
        box="ada",
        state="running",
        region="us-east-1",
        usd_month=Decimal(month),
        stopped=stopped,
        observed=Observed(region="us-east-1"),
    )


def look(*jobs: str, stops_in: float = 30, later: float = 0) -> Look:
    """Times in minutes."""
    return replace(
        LOOK,
        at=NOW + timedelta(minutes=later),
        watch=replace(WATCH, stops_in=timedelta(minutes=stops_in)),
        tasks=tuple(Task(kind="job", name=job, doing="1.00 cores") for job in jobs),
    )


class Told:
    """The notices, in order: "event: text"."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "told"
        command = f'printf "%s: %s\\n" "$GPU_BOX_EVENT" "$GPU_BOX_TEXT" >>{self._file}'
        self.config = Config(name="ada", limits=Limits(budget=Decimal(50)), notify=Notify(command=command))

    @property
    def lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_a_stop_that_comes_near_is_told_once_and_again_when_another_one_does(told: Told) -> None:
    herald = Herald(told.config, pytest.fail)
    for minutes in (12, 9, 6):
        herald.looked(look(stops_in=minutes, later=12 - minutes), None)
    herald.looked(look(stops_in=30, later=20), None)  # it was used meanwhile
    herald.looked(look(stops_in=8, later=60), None)
    herald.looked(look(stops_in=60, later=100), NOW + timedelta(minutes=105))  # AWS's deadline
    assert [line.partition(" at ")[0] for line in told.lines] == ["stopping: It stops"] * 3


def test_a_job_that_ended_is_told_unless_somebody_else_tells_it(told: Told) -> None:
    herald = Herald(told.config, pytest.fail, but="train")
    for jobs in (("train", "etl"), ("train", "etl"), ("train",), ()):
        herald.looked(look(*jobs), None)
    assert told.lines == ["job: etl has ended: `gpu-box logs etl` tells how"]


def test_a_mark_of_the_budget_is_told_when_it_is_passed(told: Told) -> None:
    herald = Herald(told.config, pytest.fail)
    for month in ("30", "39.99", "40.01", "41", "51"):
        herald.found(status(month=month))
    assert told.lines == [
        "budget: 80 % of this month's budget is spent: $40.01 of $50.00",
        "budget: 100 % of this month's budget is spent: $51.00 of $50.00",
    ]


def test_that_it_stopped_is_told_with_why_and_only_if_it_ran(told: Told) -> None:
    why = Stopped(at=NOW, layer="watcher", reason="idle 30 min; last activity: job train 20:40")
    herald = Herald(told.config, pytest.fail)
    herald.ended(status(stopped=why))
    assert told.lines == []
    herald.found(status())
    herald.ended(status(stopped=why))
    herald.ended(status(stopped=why))
    assert told.lines == [f"stopped: {why.reason}"]


def test_a_notice_that_cannot_be_given_is_said_to(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_box.box.notify._PAUSES_S", ())
    complaints: list[str] = []
    config = replace(told.config, notify=Notify(command="echo no bell >&2; exit 3"))
    herald = Herald(config, complaints.append)
    herald.looked(look(stops_in=5), None)
    assert complaints == ["notify.command failed with exit status 3: no bell"]
