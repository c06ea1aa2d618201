"""A box that shut itself down: its end is estimated until its console or the box gives the time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from testbed.cloud import wait_until

from gpu_box.aws.act import act
from gpu_box.box import last_session, project, up
from gpu_box.config.model import Limits, Sync
from gpu_box.machine import setup, watcher
from gpu_box.model.machine import JupyterState, MachineState
from gpu_box.model.observed import InstanceState, Observed, Stopped
from gpu_box.model.watch import WatchState
from gpu_box.plan.notes import CountSession

from ..aws.conftest import Laptop

FORGED = datetime(2090, 1, 1, tzinfo=UTC)


def shut_down(mine: Laptop, cloud_home: Path, *, says: datetime | None) -> None:
    """Power the machine off from inside. says: the time on its console; None: none."""
    found = mine.observe().instance
    assert found is not None
    folder = cloud_home / "embedded" / "machines" / found.id
    if says:
        record = {"layer": "watcher", "reason": "idle 30 min", "wall": says.timestamp()}
        (folder / "console.log").write_text(f"[  1.0] gpu-box-stopped {json.dumps(record)}\n")
    (folder / "powered-off").touch()

    def is_stopped() -> bool:
        seen = mine.observe().instance
        return seen is not None and seen.state is InstanceState.STOPPED

    wait_until(is_stopped)


@pytest.mark.parametrize("console", ["tells", "silent", "forged"])
@pytest.mark.parametrize("budget", [None, Decimal(50)])
def test_the_tags_say_whether_the_end_of_a_session_is_a_guess(
    laptop: Callable[..., Laptop], cloud_home: Path, console: str, budget: Decimal | None
) -> None:
    mine = laptop(limits=Limits(budget=budget))
    first = mine.up().instance
    assert first is not None
    says = {"tells": datetime.now(UTC), "forged": FORGED, "silent": None}[console]
    shut_down(mine, cloud_home, says=says)
    mine.up()
    again = mine.observe().instance
    assert again is not None and again.state is InstanceState.RUNNING
    assert again.spent_until == first.launched
    assert 0 < sum(usd for _, usd in again.spent) < Decimal("0.10"), "some minutes, and not until 2090"
    assert (again.guess is None) is (console == "tells")
    assert again.guess is None or again.guess.launched == first.launched


def machine(left: Stopped | None) -> MachineState:
    """A machine whose watcher reports its last stop."""
    watch = WatchState(state="active", reason="", stops_in=None, signals=(), layers=(), stopped=left)
    jupyter = JupyterState(port=None, answering=False)
    return MachineState(steps=(), jupyter=jupyter, mirror_current=True, gpu="", watch=watch)


Guessed = Callable[[], tuple[Laptop, Observed, Stopped]]


@pytest.fixture
def guessed(laptop: Callable[..., Laptop], tmp_path: Path) -> Guessed:
    """A running box, half an hour of which is estimated at $80; and a record of four minutes."""

    def make() -> tuple[Laptop, Observed, Stopped]:
        now = datetime.now(UTC).replace(microsecond=0)
        launched, until = now - timedelta(minutes=40), now - timedelta(minutes=10)
        if launched.month != now.month or (now + timedelta(hours=5)).month != now.month:
            pytest.skip("a month begins: another budget counts")
        source = tmp_path / "project"
        source.mkdir()
        mine = laptop(
            limits=Limits(budget=Decimal(42)), path=source / "config.yaml", sync=Sync(source=source)
        )
        observed = mine.up()
        assert observed.instance is not None
        count = CountSession(
            instance_id=observed.instance.id,
            launched=launched,
            transition="User initiated",
            deadline=until - timedelta(minutes=3),
            usd_hour=Decimal(80),
            before=(),
        )
        act(mine.cloud, [count], mine.report, observed)
        found = mine.observe()
        assert found.instance is not None and found.instance.guess is not None
        assert found.instance.guess.until == until
        assert usd(found) == 40
        record = Stopped(layer="watcher", reason="idle 30 min", at=launched + timedelta(minutes=4))
        return mine, found, record

    return make


def usd(observed: Observed) -> Decimal:
    """The cost of earlier sessions, by the tags."""
    assert observed.instance is not None
    return sum((usd for _, usd in observed.instance.spent), Decimal(0))


def deadline_at(observed: Observed) -> datetime:
    assert observed.deadline is not None
    return observed.deadline.at


def test_the_box_s_record_corrects_the_cost_and_moves_the_end_of_the_budget(guessed: Guessed) -> None:
    mine, before, record = guessed()
    observed = mine.up()  # $2 are left: four hours
    assert deadline_at(observed) < deadline_at(before) - timedelta(hours=1)
    known = last_session.corrected(mine.cloud, observed, machine(record), mine.report)
    found = mine.observe()
    assert found.instance is not None and found.instance.guess is None
    assert usd(found) == usd(known) == 8, "four minutes, and two for the shutdown"
    assert deadline_at(found) == deadline_at(known) > deadline_at(observed) + timedelta(hours=1)
    again = last_session.corrected(mine.cloud, known, machine(record), mine.report)
    assert again is known, "corrected once"


def test_a_forged_record_corrects_nothing(guessed: Guessed) -> None:
    mine, observed, record = guessed()
    assert record.at is not None
    for at in (None, FORGED, record.at - timedelta(hours=1)):
        false = machine(replace(record, at=at))
        assert last_session.corrected(mine.cloud, observed, false, mine.report) is observed
    assert usd(mine.observe()) == 40


def test_up_corrects_the_cost_before_the_box_is_given_its_deadline(
    guessed: Guessed, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, _, record = guessed()
    given: list[datetime] = []
    monkeypatch.setattr(setup, "check", lambda connection, desired: machine(record))
    monkeypatch.setattr(MachineState, "needs_work", False)
    monkeypatch.setattr(watcher, "set_deadline", lambda connection, at, marks: given.append(at))
    monkeypatch.setattr(project, "changed_since", lambda config, known: None)
    done = up.up(mine.cloud, mine.report)
    assert usd(mine.observe()) == usd(done.observed) == 8
    assert given == [deadline_at(mine.observe())]
    assert done.warning is None, "of $42"
