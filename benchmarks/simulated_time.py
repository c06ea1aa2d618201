"""A clock that moves only when every thread of the simulation sleeps: computing takes no time on it.

Threads of the simulation are those that `run` starts, and those of gpu-box's own thread pools under them.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import Any
from unittest import mock

from gpu_box.aws import client
from local_aws.ec2 import extra


class Clock:
    def __init__(self, begin_s: float) -> None:
        """begin_s: the clock's first time, in seconds."""
        self.now_s = begin_s
        self._began = datetime.now().astimezone() - timedelta(seconds=begin_s)
        self.lock = threading.Lock()
        self.awake = 0
        self._sleepers: list[tuple[float, int, threading.Event]] = []
        self._order = itertools.count()

    def run(self, actions: Sequence[Callable[[], None]]) -> None:
        """Run all at once, in a thread each, until the last has ended."""
        self.awake = len(actions)
        threads = [threading.Thread(target=self._live, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def monotonic(self) -> float:
        return self.now_s

    def now(self, zone: tzinfo) -> datetime:
        return (self._began + timedelta(seconds=self.now_s)).astimezone(zone)

    def sleep(self, seconds: float) -> None:
        alarm = threading.Event()
        with self.lock:
            heapq.heappush(self._sleepers, (self.now_s + max(0.0, seconds), next(self._order), alarm))
            self.leave()
        alarm.wait()  # `leave` of the last one awake counts this one as awake again

    def _live(self, action: Callable[[], None]) -> None:
        try:
            action()
        finally:
            with self.lock:
                self.leave()

    def leave(self) -> None:
        """One thread less is awake; after the last, the next sleeper wakes. Call it with the lock."""
        self.awake -= 1
        if not self.awake and self._sleepers:
            self.now_s, _, alarm = heapq.heappop(self._sleepers)
            self.awake += 1
            alarm.set()


@contextmanager
def simulated_time(begin_s: float) -> Iterator[Clock]:
    """gpu-box, the SDK and the embedded EC2 go by this clock."""
    clock = Clock(begin_s)

    class Pool(ThreadPoolExecutor):
        """The last of its threads to end wakes the one that waits for them, with no moment in between."""

        _left, _awaited = 0, False

        def submit(self, action: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
            with clock.lock:
                clock.awake += 1
                self._left += 1
            return super().submit(self._live, partial(action, *args, **more))

        def _live(self, action: Callable[[], Any]) -> Any:
            try:
                return action()
            finally:
                with clock.lock:
                    self._left -= 1
                    if self._left or not self._awaited:
                        clock.leave()

        def __exit__(self, *error: Any) -> bool | None:
            with clock.lock:
                if self._left:
                    self._awaited = True
                    clock.leave()
            return super().__exit__(*error)

    with (
        mock.patch("time.sleep", clock.sleep),
        mock.patch("time.monotonic", clock.monotonic),
        mock.patch.object(client, "ThreadPoolExecutor", Pool),
        mock.patch.object(extra, "datetime", clock),
    ):
        yield clock
