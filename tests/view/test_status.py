"""`status` and `ls` as text in 80 columns."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gpu_box.model.job import JobState, State
from gpu_box.model.machine import StepState
from gpu_box.model.observed import Instance, InstanceState, Listed, Observed, Stopped
from gpu_box.model.results import Row, StatusView
from gpu_box.model.watch import Layer, Signal, WatchState
from gpu_box.view.json import dumps
from gpu_box.view.status import boxes_table, status_lines

from .conftest import Draw

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
WATCH = WatchState(
    state="active",
    reason="ssh: a person is connected from 203.0.113.7",
    stops_in=timedelta(minutes=28),
    signals=(
        Signal(name="gpu", text="no NVIDIA card", quiet=None, unknown=False),
        Signal(
            name="jupyter",
            text="1 kernel, busy: notebooks/a-very-long-name-that-the-user-gave-to-it.ipynb",
            quiet=timedelta(0),
            unknown=False,
        ),
        Signal(name="disk", text="0.2 MB/s", quiet=timedelta(minutes=65), unknown=False),
        Signal(name="job", text="", quiet=None, unknown=True),
    ),
    layers=(
        Layer(name="fuse", armed=True, detail="24 h"),
        Layer(name="guard", armed=False, detail="systemd does not run on this machine, as in a container"),
    ),
    stopped=None,
)
RUNNING = StatusView(
    box="gpu-box",
    state="running",
    region="us-east-1",
    instance="i-0123456789abcdef0",
    type="g4dn.xlarge",
    zone="us-east-1a",
    address="203.0.113.7",
    since=NOON,
    uptime=timedelta(minutes=125),
    usd_hour=Decimal("0.542"),
    usd_session=Decimal("1.10625"),
    usd_today=Decimal("1.12"),
    usd_month=Decimal("14.02"),
    usd_budget=Decimal("50"),
    usd_month_stopped=Decimal("8.00"),
    deadline=NOON + timedelta(hours=12),
    observed=Observed(region="us-east-1"),
)
INSTANCE = Instance(
    id="i-0123456789abcdef0",
    state=InstanceState.RUNNING,
    type="g4dn.xlarge",
    zone="us-east-1a",
    launched=NOON,
)
ROW = Row(
    box="gpu-box",
    state="running",
    type="g4dn.xlarge",
    zone="us-east-1a",
    instance="i-0123456789abcdef0",
    since=NOON,
    owner="ada",
    usd_hour=Decimal("0.542"),
    listed=Listed(box="gpu-box", instance=INSTANCE),
)


def test_a_running_box_tells_money_what_keeps_it_awake_and_what_stops_it(draw: Draw) -> None:
    view = replace(
        RUNNING,
        watch=WATCH,
        jupyter="answers on the box's port 8888: `gpu-box jupyter` opens it",
        steps=(
            StepState(name="python", status="done", line="Python 3.12"),
            StepState(
                name="driver",
                status="unavailable",
                line="there is no NVIDIA card on this machine; training runs on its processor",
            ),
        ),
        notices=("203.0.113.7:22 does not answer",),
    )
    assert (
        draw(status_lines(view))
        == """\
gpu-box  running for 2 h 05 min
  instance   g4dn.xlarge in us-east-1a, i-0123456789abcdef0, 203.0.113.7
  money      $1.11 this session, $1.12 today, $14.02 of $50.00 this month,
             $0.542 an hour
  stops      in 28 min unless used
  now        ssh: a person is connected from 203.0.113.7
             gpu      -               no NVIDIA card
             jupyter  now             1 kernel, busy:
                                      notebooks/a-very-long-name-that-the-user-g
                                      ave-to-it.ipynb
             disk     1 h 05 min ago  0.2 MB/s
             job      unknown
  armed      fuse, deadline (AWS stops it Sun 00:00)
  NOT armed  guard: systemd does not run on this machine, as in a container
  jupyter    answers on the box's port 8888: `gpu-box jupyter` opens it
  driver     unavailable: there is no NVIDIA card on this machine; training runs
             on its processor
  !          203.0.113.7:22 does not answer"""
    )


def test_a_box_that_stopped_itself_the_last_time_tells_when_and_why(draw: Draw) -> None:
    last = Stopped(layer="watcher", reason="idle for 30 min; last used: kernel lesson1.ipynb", at=NOON)
    shown = draw(status_lines(replace(RUNNING, watch=replace(WATCH, signals=(), stopped=last))))
    assert (
        "  last stop  Sat Aug 01 12:00 by the watcher: idle for 30 min; last used: kernel\n"
        "             lesson1.ipynb\n"
    ) in shown


def test_a_box_that_nothing_would_stop_says_so(draw: Draw) -> None:
    view = replace(RUNNING, deadline=None, deadline_missing="`gpu-box up` arms it")
    assert draw(status_lines(view)).splitlines()[-2:] == [
        "  armed      nothing",
        "  NOT armed  deadline: `gpu-box up` arms it",
    ]


def test_a_stopped_box_tells_why_and_what_its_disk_costs(draw: Draw) -> None:
    view = replace(
        RUNNING,
        state="stopped",
        address=None,
        uptime=None,
        usd_session=None,
        usd_budget=None,
        usd_today=Decimal("0.13"),
        usd_month=Decimal("14.02"),
        stopped=Stopped(layer="watcher", reason="idle for 30 min", at=NOON),
    )
    assert (
        draw(status_lines(view))
        == """\
gpu-box  stopped
  instance  g4dn.xlarge in us-east-1a, i-0123456789abcdef0
  money     $14.02 this month, $8.00 a month for the disk
  stopped   Sat Aug 01 12:00 by the watcher: idle for 30 min"""
    )


def test_no_box(draw: Draw) -> None:
    view = StatusView(box="gpu-box", state="none", region="us-east-1", observed=Observed(region="us-east-1"))
    assert draw(status_lines(view)) == "There is no box 'gpu-box' in us-east-1; `gpu-box up` creates it."


def test_what_the_box_says_is_shown_as_it_stands(draw: Draw) -> None:
    view = replace(RUNNING, notices=("[bold]not markup[/] :warning:",))
    assert draw(status_lines(view)).splitlines()[-1] == "  !         [bold]not markup[/] :warning:"


def test_ls_of_ordinary_names_fits_80_columns(draw: Draw) -> None:
    stopped = replace(ROW, box="ada-2", state="stopped", usd_hour=None)
    assert (
        draw(boxes_table([ROW, stopped], "us-east-1"))
        == """\
BOX      STATE    TYPE         INSTANCE             SINCE           $/H  OWNER
gpu-box  running  g4dn.xlarge  i-0123456789abcdef0  Aug 01 12:00  0.542  ada
ada-2    stopped  g4dn.xlarge  i-0123456789abcdef0  Aug 01 12:00         ada"""
    )


def test_in_ls_a_long_name_folds_and_loses_no_letter(draw: Draw) -> None:
    name, owner = "a-name-of-thirty-two-characters-", "ada.lovelace@example.org"
    shown = draw(boxes_table([replace(ROW, box=name, owner=owner)], "us-east-1")).splitlines()
    state, last = shown[0].index("STATE"), shown[0].index("OWNER")
    assert "".join(line[:state].strip() for line in shown[1:]) == name
    assert "".join(line[last:].strip() for line in shown[1:]) == owner
    assert "i-0123456789abcdef0" in shown[1]


def test_ls_of_nothing(draw: Draw) -> None:
    assert draw(boxes_table([], "us-east-1")) == "No boxes in us-east-1."


def test_status_as_json_is_the_view_field_by_field() -> None:
    answer = json.loads(dumps(replace(RUNNING, watch=WATCH)))
    assert answer["usd_session"] == "1.10625"
    assert answer["uptime"] == 7_500
    assert answer["deadline"] == "2026-08-02T00:00:00+00:00"
    assert answer["watch"]["signals"][2] == {
        "name": "disk",
        "text": "0.2 MB/s",
        "quiet": 3_900,
        "unknown": False,
    }
    assert answer["steps"] == []


def test_what_a_stop_would_erase_is_said(draw: Draw) -> None:
    shown = draw(status_lines(replace(RUNNING, scratch_lost=12_300_000_000)))
    assert "12.3 GB in ~/scratch is lost at the next stop" in shown
    assert "~/scratch" not in draw(status_lines(RUNNING))


def test_status_says_which_jobs_run_and_wait_and_how_the_last_ones_ended(draw: Draw) -> None:
    def job(name: str, state: State, status: int | None = None) -> JobState:
        return JobState(
            name=name,
            command="true",
            state=state,
            exit_status=status,
            started=None if state == "waiting" else NOON,
            ended=NOON if status is not None else None,
            took=timedelta(minutes=130) if state == "running" else None,
            gpus=(),
        )

    jobs = (
        job("night", "failed", 3), job("old", "cancelled", 143), job("train", "running"),
        *(job(f"lr-{number}", "waiting") for number in range(7)),
    )  # fmt: skip
    shown = draw(status_lines(replace(RUNNING, jobs=jobs)))
    assert "jobs      train runs for 2 h 10 min" in shown
    assert "7 in the queue: lr-0, lr-1, lr-2, lr-3, lr-4, ..." in shown
    at = f"{NOON.astimezone():%b %d %H:%M}"
    assert f"night ended, {at}: exit status 3" in shown and f"old ended, {at}: cancelled" in shown
