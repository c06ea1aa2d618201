"""A gate before every AWS call of two processes ("hands"), which interleaves their calls by a seed.

Each call waits at the gate and reports its answer, so that only one call of both runs at a time. A seed gives
one order, apart from differences of the clocks.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

from gpu_box.aws.client import Cloud

_TURNS, _MOST_CALLS = 14, 8  # then both run freely to their ends
_ASKED_WITHIN_S = 0.3  # a hand that asks for nothing so long waits for something: the other one's turn
_ANSWERED_WITHIN_S = 10.0  # one whose connection broke tells nothing
_ENDED_WITHIN_S = 120.0


@dataclass
class Turnstile:
    """One hand's turnstile, made by the test and passed to the hand's process."""

    asking: Connection  # the names of the calls that want to pass
    asked: Connection
    leave: Any  # a semaphore
    answered: Any  # a semaphore
    open: Any  # an event: nothing is held any more

    @classmethod
    def make(cls, context: ForkServerContext) -> Turnstile:
        asked, asking = context.Pipe(duplex=False)
        return cls(asking, asked, context.Semaphore(0), context.Semaphore(0), context.Event())

    def stand_before(self, cloud: Cloud) -> None:
        """In the hand's process, before its first client is made: clients copy the session's events."""
        lock = threading.Lock()

        def ask(event_name: str, **_: Any) -> None:
            if self.open.is_set():
                return
            with lock:
                self.asking.send(event_name.rpartition(".")[2])
            self.leave.acquire()

        events = cloud._clients.session.events
        events.register_first("before-send.*.*", ask)
        events.register_last("response-received.*.*", lambda **_: self.answered.release())

    def set_open(self) -> None:
        self.open.set()
        for _ in range(64):  # more than a hand has threads
            self.leave.release()


@dataclass
class Gate:
    hands: list[tuple[BaseProcess, Turnstile]]
    seed: int
    order: list[str] = field(default_factory=list)  # what came of it: "A5 B2 ..."

    def run(self) -> None:
        """Until both have ended. AssertionError for one that does not."""
        chance = random.Random(self.seed)
        for _ in range(_TURNS):
            which = chance.randrange(2)
            self.order.append(f"{'AB'[which]}{self._let(which, chance.randint(1, _MOST_CALLS))}")
        for _, turnstile in self.hands:
            turnstile.set_open()
        for process, _ in self.hands:
            process.join(_ENDED_WITHIN_S)
            assert process.exitcode is not None, f"a hand did not end: {' '.join(self.order)}"

    def _let(self, which: int, calls: int) -> int:
        """How many calls it did."""
        process, turnstile = self.hands[which]
        for passed in range(calls):
            while not turnstile.asked.poll(_ASKED_WITHIN_S):
                if passed or not process.is_alive():
                    return passed
            turnstile.asked.recv()
            turnstile.leave.release()
            turnstile.answered.acquire(timeout=_ANSWERED_WITHIN_S)
        return calls
