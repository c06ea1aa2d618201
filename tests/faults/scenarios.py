"""Which faults strike at which calls of a command: every one that can end differently from the others.

A call that changes something in AWS is struck by every fault, each time it is made. A call that reads leaves
AWS as it found it, so that most of its faults repeat one another. A phase is what lies between two changes:

- A fault after which nothing comes through (killed, connection refused, credentials expired) ends the command
  in the state that its phase has. It strikes at the first, second and last read of each phase.
- Killed before a read is killed after the read before it: a read is only struck by "killed after".
- A fault of one operation (throttled for good, 500, access denied) strikes at the first, second and last of
  the reads with the same parameters in the whole command.
- A fault that the SDK's own retry hides (throttled once, answer lost) strikes at the first read of each
  operation.
- "Answer lost for good" at a read is "connection refused" but for its first attempt. It strikes at the first
  read of each phase.

`python -m tests.faults --every` strikes every call by every fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

from .faults import FAULTS, Called, Place

_HIDDEN = ("throttled once", "answer lost")
_SAME_OPERATION = tuple(name for name, fault in FAULTS.items() if fault.later == "same")
_NOTHING_MORE = ("connection refused", "credentials expired", "killed after")
_ONCE_A_PHASE = ("answer lost for good",)


def every(calls: Sequence[Called]) -> list[tuple[Place, str]]:
    """Each call with each fault."""
    return [(call.place, fault) for call in calls for fault in FAULTS]


def distinct(calls: Sequence[Called]) -> list[tuple[Place, str]]:
    """Those of `every` that the rules above leave, in its order."""
    kept = {(call.place, fault) for call in calls if not call.reads for fault in FAULTS}
    reads = [(number, call) for number, call in _with_phases(calls) if call.reads]
    phases = _grouped((phase, call) for phase, call in reads)
    alike = _grouped(((call.operation, call.parameters), call) for _, call in reads)
    operations = _grouped((call.operation, call) for _, call in reads)
    for phase in phases:
        kept |= {(call.place, fault) for call in _ends(phase) for fault in _NOTHING_MORE}
        kept |= {(phase[0].place, fault) for fault in _ONCE_A_PHASE}
    for same in alike:
        kept |= {(call.place, fault) for call in _ends(same) for fault in _SAME_OPERATION}
    for of_one in operations:
        kept |= {(of_one[0].place, fault) for fault in _HIDDEN}
    return [scenario for scenario in every(calls) if scenario in kept]


def _with_phases(calls: Sequence[Called]) -> Iterator[tuple[int, Called]]:
    """Each call, and how many changes came before it."""
    changes = 0
    for call in calls:
        yield changes, call
        changes += not call.reads


def _grouped(keyed: Iterable[tuple[Hashable, Called]]) -> list[list[Called]]:
    groups: defaultdict[Hashable, list[Called]] = defaultdict(list)
    for key, call in keyed:
        groups[key].append(call)
    return list(groups.values())


def _ends(calls: list[Called]) -> list[Called]:
    """The first, the second and the last."""
    return [*calls[:2], calls[-1]]
