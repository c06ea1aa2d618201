"""Judges recorded samples again: `replay FILE.jsonl --policy k=v ...`."""

import time
from typing import Any, Dict, Iterable, Iterator, Tuple, Union

from .judge import State, Verdict, step, verdict
from .policy import Policy
from .sample import Event, Sample
from .signals import spell

Moment = Tuple[float, Union[str, Verdict]]
"""(Unix time, an event's name or the verdict from then on)."""


def changes(
    samples: Iterable[Union[Sample, Event]], policy: Policy, *, every: bool = False
) -> Iterator[Moment]:
    """Yield the moments at which the verdict or the signals in use change; every: one for each sample."""
    state, before = State(), None
    for sample in samples:
        state = step(state, sample, policy)
        if isinstance(sample, Event):
            yield sample.wall, sample.event
            continue
        now = verdict(state, policy)
        shown = (
            now.stop,
            now.state,
            now.cause,
            [s.text.split()[0] for s in now.signals.values() if s.age < 1],
        )
        if every or shown != before:
            yield sample.wall, now
        before = shown


def line(moment: Moment) -> str:
    """Format a moment as a line of text."""
    wall, what = moment
    if isinstance(what, str):
        return "%s  %s" % (_when(wall), what)
    word = "STOP" if what.stop else what.state
    reason = what.reason[len("active: ") :] if what.state == "active" else what.reason
    return "%s  %-6s stops in %-12s %s" % (_when(wall), word, spell(what.stops_in), reason)


def record(moment: Moment) -> Dict[str, Any]:
    """A moment for JSON: {wall, event} or {wall, stop, state, reason, stops_in, signals: name -> text}."""
    wall, what = moment
    if isinstance(what, str):
        return {"wall": wall, "event": what}
    return {
        "wall": wall,
        "stop": what.stop,
        "state": what.state,
        "reason": what.reason,
        "stops_in": what.stops_in,
        "signals": {name: signal.text for name, signal in what.signals.items()},
    }


def _when(wall: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))
