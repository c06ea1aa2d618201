"""What a box did, in brief, for a drawing: from a week of samples to some hundred numbers.

    {"spans": [[from, to, state, [signal, ...]], ...],   Unix times; which signals were in use in between
     "gpu": [[wall, percent], ...], "cpu": [[wall, cores], ...],   means of five minutes; gpu: of the busiest
     "stops": [[wall, reason], ...]}   each time that the machine went down, with the verdict

Where no span is, the machine was off (or nobody watched). A minute is the smallest thing told.
"""

from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from .judge import State, Verdict, step, verdict
from .policy import Policy
from .sample import Event, Rate, Sample

MINUTE, FIVE = 60.0, 300.0
# Of older samples one in five minutes is kept: further apart than this, they are not one run.
GAP = 2.5 * FIVE
# Of a minute's verdicts the one that tells most; what went on at all went on.
RANK = ("active", "held", "limit", "idle")


class _Span:
    def __init__(self, begin: float, state: str) -> None:
        self.begin, self.end, self.state = begin, begin, state
        self.signals: List[str] = []

    def add(self, now: Verdict, over: float) -> None:
        self.state = min(self.state, now.state, key=RANK.index)
        used = [name for name, signal in now.signals.items() if signal.age <= over + 1]
        self.signals += [name for name in used if name not in self.signals]

    def told(self) -> List[Any]:
        return [round(self.begin), round(self.end), self.state, sorted(self.signals)]


def activity(samples: Iterable[Union[Sample, Event]], policy: Policy) -> Dict[str, Any]:
    """samples: oldest first."""
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
            stops.append(
                [round(last[0].wall), "no word of it: reset, killed from outside, or by guard or fuse"]
            )
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
        "spans": [span.told() for span in _joined(spans)],
        "gpu": _means(curves["gpu"]),
        "cpu": _means(curves["cpu"]),
        "stops": stops,
    }


def _joined(spans: List[_Span]) -> List[_Span]:
    """Neighbours that say the same are one."""
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
