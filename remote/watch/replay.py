"""The verdict over time of any recorded trace: `replay FILE.jsonl --policy k=v ...`."""

import time
from typing import Iterable, Iterator, Union

from .judge import State, spell, step, verdict
from .policy import Policy
from .sample import Event, Sample


def replay(samples: Iterable[Union[Sample, Event]], policy: Policy, *, every: bool = False) -> Iterator[str]:
    """A line whenever the verdict's state or cause changes, or for each sample."""
    state, before = State(), None
    for sample in samples:
        state = step(state, sample, policy)
        if isinstance(sample, Event):
            yield "%s  %s" % (_when(sample.wall), sample.event)
            continue
        now = verdict(state, policy)
        shown = (
            now.stop,
            now.state,
            now.cause,
            [s.text.split()[0] for s in now.signals.values() if s.age < 1],
        )
        if every or shown != before:
            word = "STOP" if now.stop else now.state
            yield "%s  %-6s stops in %-12s %s" % (_when(sample.wall), word, spell(now.stops_in), now.reason)
        before = shown


def _when(wall: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))
