"""The summary for the report: it loses no minute of use and names each stop's reason."""

from __future__ import annotations

import json

from traces.builder import START, Box, cpu
from watcher_box import Box as Watched

from watch.activity import activity
from watch.policy import Policy
from watch.sample import Event, Gpu


def test_work_then_idleness_then_the_stop_with_its_reason() -> None:
    trace = Box().run(20, cpu=cpu(0.8)).run(30)
    trace.samples.append(Event("poweroff", "boot-1", START + trace.now))
    reported = activity(trace.samples, Policy())
    states = [(state, signals, round((end - begin) / 60)) for begin, end, state, signals in reported["spans"]]
    assert [state for state, *_ in states] == ["active", "idle"]
    assert states[0][1] == ["cpu"] and 19 <= states[0][2] <= 22
    [[at, reason]] = reported["stops"]
    assert at == START + trace.now and reason.startswith("idle")


def test_a_burst_of_seconds_in_a_quiet_minute_is_shown() -> None:
    trace = Box().run(10)
    trace.run(0.25, cpu=cpu(9.0)).run(10)
    reported = activity(trace.samples, Policy())
    assert any("cpu" in signals for *_, signals in reported["spans"])


def test_time_with_the_machine_off_is_a_gap() -> None:
    trace = Box().run(10)
    off_at = trace.samples[-1].wall
    trace.now += 3600
    trace.boots += 1
    trace.mono = trace.up = 10.0
    trace.run(10)
    reported = activity(trace.samples, Policy())
    assert [round(end - begin) for begin, end, *_ in reported["spans"]] == [585, 585]
    assert reported["stops"] == [[round(off_at), reported["stops"][0][1]]]
    assert reported["stops"][0][1].startswith("not recorded")


def test_the_gpu_curve_shows_the_busiest_gpu_in_five_minute_means() -> None:
    gpus = (Gpu(0, 20.0, False), Gpu(1, 80.0, True))
    reported = activity(Box().run(20, gpu=gpus).samples, Policy())
    assert {percent for _, percent in reported["gpu"]} == {80.0}
    assert 4 <= len(reported["gpu"]) <= 5


def test_a_week_takes_about_ten_kilobytes() -> None:
    trace = Box()
    for _ in range(7 * 24):
        trace.run(30, interval=60, cpu=cpu(0.8)).run(30, interval=60)
    assert len(json.dumps(activity(trace.samples, Policy()))) < 100_000


def test_the_command_summarises_its_log(box: Watched) -> None:
    box.policy(idle_after=3600)
    box.start()
    from watcher_box import until

    assert until(lambda: len(json.loads(box.call("activity").stdout)["spans"]) >= 1, 60)
