"""No false stop and no missed idle time on any trace of `traces/`."""

from __future__ import annotations

import os
import time

import pytest
from traces import at_work, forgotten  # noqa: F401 - they enter their stories
from traces.builder import START
from traces.story import STORIES, Story

from watch.judge import State, Verdict, step, verdict
from watch.policy import Policy, parse

EARLY, LATE = 0.5, 3.0  # minutes: the means look back up to 3 minutes


@pytest.fixture(autouse=True)
def _utc():
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.__setitem__("TZ", before)
    time.tzset()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_box_stops_when_it_should_and_only_then(story: Story):
    verdicts = _verdicts(story)
    minute, last = verdicts[-1]
    if story.stops is None:
        assert not last.stop, f"stopped while it works, after {minute:.1f} min: {last.reason}"
    else:
        assert last.stop, f"never stopped: {last.reason}"
        assert story.stops - EARLY <= minute <= story.stops + LATE, last.reason
    assert story.why in last.reason


def test_there_are_at_least_40_distinct_stories():
    assert len({story.name for story in STORIES}) == len(STORIES) >= 40


@pytest.mark.parametrize("story", [s for s in STORIES if s.stops is not None], ids=lambda story: story.name)
def test_a_stop_is_announced_ten_and_two_minutes_ahead(story: Story):
    minute = _verdicts(story)[-1][0]
    for lead in Policy().warn:
        ahead = [now for at, now in _verdicts(story) if minute - lead / 60 <= at < minute]
        assert ahead and all(now.stops_in <= lead or now.state == "held" for now in ahead)


def test_the_reason_names_the_last_activity_and_its_time():
    story = next(story for story in STORIES if story.name == "a_training_that_ended_in_the_night")
    ended = START + 62.75 * 60  # the mean over three minutes still saw it then
    hour = time.strftime("%H:%M", time.gmtime(ended))
    assert _verdicts(story)[-1][1].reason == f"idle 30 min; last activity: gpu 0 {hour}"


def _verdicts(story: Story) -> list[tuple[float, Verdict]]:
    """(minute, verdict) after each sample, up to the first that stops the box."""
    policy, wrong = parse(story.policy)
    assert not wrong
    box, state, verdicts = story.box(), State(), []
    for minute, sample in zip(box.minutes, box.samples, strict=True):
        state = step(state, sample, policy)
        verdicts.append((minute, verdict(state, policy)))
        if verdicts[-1][1].stop:
            break
    return verdicts
