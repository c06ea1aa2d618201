"""Condenses a week of samples into a few hundred numbers, for the report's chart.

    {"spans": [[from, to, state, [signal, ...]], ...],   Unix times; the signals in use in between
     "gpu": [[wall, percent], ...], "cpu": [[wall, cores], ...],   means over 5 minutes; gpu: the busiest one
     "stops": [[wall, reason], ...]}   each shutdown, with the verdict before it

Between spans the machine was off or had no watcher. The resolution is one minute.
"""

from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from .judge import State, Verdict, step, verdict
from .policy import Policy
from .sample import Event, Rate, Sample

MINUTE, FIVE = 60.0, 300.0
GAP = 2.5 * FIVE  # s between two samples of one span, at most; the log keeps old ones every five minutes
RANK = ("active", "held", "limit", "idle")  # a minute with several states gets the first of these


class _Span:
    def __init__(self, begin: float, state: str) -> None:
        self.begin, self.end, self.state = begin, begin, state
        self.signals: List[str] = []

    def add(self, now: Verdict, over: float) -> None:
        self.state = min(self.state, now.state, key=RANK.index)
        used = [name for name, signal in now.signals.items() if signal.age <= over + 1]
        self.signals += [name for name in used if name not in self.signals]

    def values(self) -> List[Any]:
        return [round(self.begin), round(self.end), self.state, sorted(self.signals)]


def activity(samples: Iterable[Union[Sample, Event]], policy: Policy) -> Dict[str, Any]:
    """Summarise samples (oldest first) in the format above."""
    state = State()
    last: Optional[Tuple[Sample, Verdict]] = None
    spans: List[_Span] = []
    stops: List[List[Any]] = []
    curves: Dict[str, Dict[int, List[float]]] = {"gpu": {}, "cpu": {}}
    for sample in samples:
        state = step(state, sample, policy)
        if isinstance(sample, Event):
            if last and not (stops and stops[-1][0] >= last[0].wall):
                stops.append([round(sample.wall), last[1].reason])
            continue
        now = verdict(state, policy)
        again = last is not None and last[0].boot == sample.boot and sample.wall - last[0].wall < GAP
        if last and last[0].boot != sample.boot and not (stops and stops[-1][0] >= last[0].wall):
            stops.append([round(last[0].wall), "not recorded: a reset, a forced stop, the guard or the fuse"])
        if again and spans:
            spans[-1].end = sample.wall
        if not again or sample.wall - spans[-1].begin >= MINUTE:
            spans.append(_Span(sample.wall, now.state))
        spans[-1].add(now, sample.over)
        for name, value in (("gpu", _busiest(sample)), ("cpu", _cores(sample))):
            if value is not None:
                curves[name].setdefault(int(sample.wall // FIVE), []).append(value)
        last = sample, now
    return {
        "spans": [span.values() for span in _joined(spans)],
        "gpu": _means(curves["gpu"]),
        "cpu": _means(curves["cpu"]),
        "stops": stops,
    }


def _joined(spans: List[_Span]) -> List[_Span]:
    """Join adjacent spans with equal state and signals."""
    joined: List[_Span] = []
    for span in spans:
        before = joined[-1] if joined else None
        same = before and before.state == span.state and sorted(before.signals) == sorted(span.signals)
        if before and same and before.end == span.begin:
            before.end = span.end
        else:
            joined.append(span)
    return joined


def _busiest(sample: Sample) -> Optional[float]:
    if not isinstance(sample.gpu, tuple):
        return None
    return max((gpu.percent for gpu in sample.gpu if gpu.percent is not None), default=None)


def _cores(sample: Sample) -> Optional[float]:
    return sample.cpu.value if isinstance(sample.cpu, Rate) else None


def _means(bins: Dict[int, List[float]]) -> List[List[float]]:
    return [
        [round((number + 0.5) * FIVE), round(sum(values) / len(values), 2)]
        for number, values in sorted(bins.items())
    ]
