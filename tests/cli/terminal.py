"""A person at a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pexpect

from ..user import COMMAND

# `stop` asks a box what it would lose for 3 seconds only; a machine that runs many tests may need more.
_PATIENT = """\
import sys
from gpu_box.__main__ import main
from gpu_box.cli import box
box._STOP_WAITS_S = 60.0
sys.exit(main())
"""
Terminal = Callable[..., "pexpect.spawn[str]"]


@contextmanager
def terminals(*first: str, patient: bool = False) -> Iterator[Terminal]:
    """`terminal("stop")`: gpu-box with the arguments `first` and these, in its own terminal.

    patient: `stop` waits longer for a box's answer.
    """
    program = [sys.executable, "-c", _PATIENT] if patient else [str(COMMAND)]
    started: list[pexpect.spawn[str]] = []

    def start(*words: str) -> pexpect.spawn[str]:
        child = pexpect.spawn(
            program[0],
            [*program[1:], *first, *words],
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
