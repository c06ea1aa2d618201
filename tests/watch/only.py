"""A classifier that counts only certain processes."""

from __future__ import annotations

import os

from watch.read.people import Kind


def only(*pids: int):
    """A classifier for `Processes` that counts the sessions of these processes."""
    sessions = set(pids)

    def classify(pid: int, uid: int, name: str) -> Kind:
        try:
            return Kind.WORK if os.getsid(pid) in sessions else Kind.SYSTEM
        except ProcessLookupError:
            return Kind.SYSTEM

    return classify
