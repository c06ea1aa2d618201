"""`why`: the present state, its cause, and the figures at the stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gpu_box.model.observed import Stopped
from gpu_box.model.watch import Change, WatchState
from gpu_box.view.why import stop_line, why_lines

from .conftest import Draw

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
STOPPED = Stopped(
    layer="watcher",
    reason="idle 30 min; last activity: kernel lesson1.ipynb 11:30",
    at=NOON,
    signals=(("gpu", "0 % [of] 1"), ("jupyter", "1 kernel, idle")),
)
WATCH = WatchState(
    state="active",
    reason="active: gpu 98 %",
    stops_in=timedelta(minutes=29),
    signals=(),
    layers=(),
    stopped=None,
)


def change(state: str, minutes: int, reason: str) -> Change:
    return Change(at=NOON + timedelta(minutes=minutes), state=state, reason=reason, stops_in=None, signals=())


def test_a_stopped_box_tells_when_by_whom_why_and_every_figure(draw: Draw) -> None:
    shown = draw(why_lines("gpu-box", "stopped", stopped=STOPPED, watch=None, changes=()))
    assert (
        shown
        == """\
gpu-box  stopped
  stopped  Sat Aug 01 12:00 by the watcher: idle 30 min; last activity: kernel
           lesson1.ipynb 11:30
           gpu      0 % [of] 1
           jupyter  1 kernel, idle"""
    )


def test_a_box_that_runs_tells_why_it_does_how_it_came_and_its_last_stop(draw: Draw) -> None:
    changes = (change("idle", 1, "idle for 1 min"), change("active", 2, "active: gpu 98 %"))
    last = replace(STOPPED, signals=())
    shown = draw(why_lines("gpu-box", "running", stopped=last, watch=WATCH, changes=changes))
    assert (
        shown
        == """\
gpu-box  running
  now        active: gpu 98 %; stops in 29 min unless used
  before     Sat 12:01:00  idle    idle for 1 min
             Sat 12:02:00  active  gpu 98 %
  last stop  Sat Aug 01 12:00 by the watcher: idle 30 min; last activity: kernel
             lesson1.ipynb 11:30"""
    )


def test_no_box_and_no_word_are_said(draw: Draw) -> None:
    assert "`gpu-box up` creates it" in draw(why_lines("b", "none", stopped=None, watch=None, changes=()))
    assert "reason unknown" in draw(why_lines("b", "stopped", stopped=None, watch=None, changes=()))


def test_a_hand_that_is_no_layer_is_not_called_one() -> None:
    asked = replace(STOPPED, layer="command", reason="gpu-box stop, by ada")
    assert stop_line(asked) == "Sat Aug 01 12:00: gpu-box stop, by ada"
    assert stop_line(replace(asked, at=None)) == "gpu-box stop, by ada"
