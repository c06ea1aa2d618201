"""A person at a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pexpect

from ..user import COMMAND

Terminal = Callable[..., "pexpect.spawn[str]"]


@contextmanager
def terminals(*first: str) -> Iterator[Terminal]:
    """`terminal("stop")`: gpu-box with the words `first` and these, at a terminal of its own."""
    started: list[pexpect.spawn[str]] = []

    def start(*words: str) -> pexpect.spawn[str]:
        child = pexpect.spawn(
            str(COMMAND),
            [*first, *words],
            env={**os.environ, "TERM": "dumb"},
            encoding="utf-8",
            timeout=60,
            dimensions=(40, 200),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def ended(child: pexpect.spawn[str]) -> int:
    """Its exit status, or the number of the signal that ended it, negative."""
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)
