"""Count certain processes as if they alone were people's."""

from __future__ import annotations

import os

from watch.read.people import Kind


def only(*pids: int):
    """A classifier for `Processes`: these, which lead their sessions, and what they start."""
    sessions = set(pids)

    def classify(pid: int, uid: int, name: str) -> Kind:
        try:
            return Kind.WORK if os.getsid(pid) in sessions else Kind.NOBODY
        except ProcessLookupError:
            return Kind.NOBODY

    return classify
