"""The watcher's verdict after a list of samples."""

from __future__ import annotations

from collections.abc import Iterable

from watch.judge import State, Verdict, step, verdict
from watch.policy import Policy
from watch.sample import Event, Sample


def decide(samples: Iterable[Sample | Event], policy: Policy) -> Verdict:
    """samples: oldest first."""
    state = State()
    for sample in samples:
        state = step(state, sample, policy)
    return verdict(state, policy)
