"""Properties of every trace."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from traces.builder import QUIET, UNREADABLE, Box, cpu, gpu, job, jupyter, kernel, rate
from traces.decide import decide

from watch.judge import State, step, verdict
from watch.log import Log
from watch.policy import Policy
from watch.sample import SIGNALS, Event, Sample, Unknown, dump, parse

POLICY = Policy(idle_after=600, stuck_after=1200, max_hours=None, settle=0)

# (quieter, busier) reading of each signal.
MORE = {
    "gpu": [QUIET["gpu"], UNREADABLE, gpu(90.0)],
    "cpu": [cpu(0.0), Unknown("x"), cpu(2.0)],
    "disk": [rate(0), Unknown("x"), rate(5e6)],
    "network": [rate(0), Unknown("x"), rate(5e6)],
    "ssh": [(), Unknown("x")],
    "jupyter": [None, Unknown("x"), jupyter(kernel("busy")), jupyter(kernel("busy", cores=1.0))],
    "job": [(), job(), job(cores=1.0)],
    "keep": [0.0, 60.0],
}

readings = st.fixed_dictionaries({name: st.integers(0, len(levels) - 1) for name, levels in MORE.items()})
mostly_quiet = st.one_of(st.just(dict.fromkeys(MORE, 0)), readings)
minutes = st.lists(st.tuples(mostly_quiet, st.integers(1, 30)), min_size=1, max_size=12)


def _trace(stretches) -> list[Sample]:
    box = Box()
    for levels, length in stretches:
        box.run(length, **{name: MORE[name][level] for name, level in levels.items()})
    return box.samples


def _stop(samples) -> float:
    """The index of the first sample after which it stops, or infinity."""
    state = State()
    for index, sample in enumerate(samples):
        state = step(state, sample, POLICY)
        if verdict(state, POLICY).stop:
            return index
    return float("inf")


@settings(max_examples=80, deadline=None)
@given(minutes, st.data())
def test_more_activity_never_stops_sooner(stretches, data):
    """Raise any readings by any amount."""
    raised = []
    for levels, length in stretches:
        more = {
            name: data.draw(st.integers(level, len(MORE[name]) - 1), label=name)
            if level or length % 3 == 0
            else 0
            for name, level in levels.items()
        }
        raised.append((more, length))
    assert _stop(_trace(raised)) >= _stop(_trace(stretches))


@settings(max_examples=60, deadline=None)
@given(minutes, st.lists(st.integers(0, 400), max_size=5))
def test_restarts_of_the_watcher_change_no_verdict(stretches, cuts):
    """A watcher restarted from its files at any time gives the same verdict."""
    samples = _trace(stretches)
    state = State()
    pieces, last = [], 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(samples)), len(samples)]:
        pieces.append(samples[last:cut])
        last = cut
    for piece in pieces:
        lines = [dump(sample) for sample in piece]
        for line in lines:
            state = step(state, parse(line), POLICY)
    assert verdict(state, POLICY)._replace(signals={}) == decide(
        [parse(dump(sample)) for sample in samples], POLICY
    )._replace(signals={})


def test_log_rotation_changes_no_verdict(tmp_path):
    """With real files that rotate in the middle."""
    samples = Box().run(20, cpu=cpu(1.0)).run(9).samples
    log = Log(str(tmp_path), most=len(dump(samples[0])) * (len(samples) - 10))
    for sample in samples:
        log.append(sample)
    assert (tmp_path / "samples.1.jsonl").exists()
    assert decide(log.read(), POLICY).idle_for == decide(samples, POLICY).idle_for > 400


unreadable = st.lists(
    st.tuples(
        st.sets(st.sampled_from(SIGNALS)), st.floats(0.25, 20), st.sampled_from([15.0, 20.0, 47.0, 60.0])
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(unreadable)
def test_failed_readings_never_keep_a_box_up_for_ever(stretches):
    """It stops after at most idle_after + stuck_after of watched time."""
    box, bound = Box(), POLICY.idle_after + POLICY.stuck_after
    while box.now < 3 * bound:
        for names, length, interval in stretches:
            box.run(length, interval, **dict.fromkeys(names, Unknown("broken")))
    assert _stop(box.samples) < float("inf")
    assert box.samples[int(_stop(box.samples))].mono <= bound + 20 + 2 * 60


@settings(max_examples=60, deadline=None)
@given(minutes, st.floats(-1e6, 1e6), st.integers(0, 100))
def test_setting_the_clock_changes_no_verdict(stretches, jump, at):
    samples = _trace(stretches)
    moved = [s._replace(wall=s.wall + jump) if i >= at else s for i, s in enumerate(samples)]
    assert _stop(moved) == _stop(samples)


@settings(max_examples=60, deadline=None)
@given(minutes)
def test_a_quiet_box_stops_when_the_countdown_said(stretches):
    """Continue quietly from any sample."""
    samples = _trace(stretches)
    samples = samples[: int(min(_stop(samples), len(samples) - 1)) + 1]
    box = Box(samples=list(samples), now=samples[-1].mono, mono=samples[-1].mono, up=samples[-1].up)
    box.run(0.25)
    quiet = decide(box.samples, POLICY)
    before = box.mono
    box.run(80)
    if quiet.state == "idle" and not quiet.stop:
        stop = box.samples[int(_stop(box.samples))]
        assert abs(stop.mono - before - quiet.stops_in) <= 15


@given(st.text(max_size=50))
def test_a_truncated_or_foreign_line_is_refused(text):
    line = dump(Box().run(0.25).samples[0])
    for broken in (text, line[: len(line) // 2], "[]", "null", "{}", '{"boot": 1}'):
        try:
            assert isinstance(parse(broken), (Sample, Event))
        except ValueError:
            continue


def test_a_sample_survives_a_round_trip_through_json():
    box = Box().run(
        0.25, gpu=gpu(97.0), jupyter=jupyter(kernel("busy", 3.0)), job=job(quiet=2.0), disk=UNREADABLE
    )
    line = dump(box.samples[0])
    assert parse(line) == box.samples[0]
    assert json.loads(line)["disk"] == {"unknown": "nvidia-smi hangs (10 s)"}
