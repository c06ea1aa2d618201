"""All boxes of the stories in one cloud: what EC2 says of each, asked once a second for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from testbed.cloud import Cloud

from gpu_box.aws.client import Cloud as Aws
from gpu_box.aws.console import read_console_record
from gpu_box.aws.observe import read_instance
from gpu_box.config.model import Config
from gpu_box.model.observed import Deadline, Stopped
from gpu_box.model.stop_reason import why

T = TypeVar("T")


class Over(Exception):  # noqa: N818 - no error: the tests end before the story does
    pass


class Fleet:
    """booting: held while a machine boots, which takes a processor for seconds; waiting takes none."""

    def __init__(self, cloud: Cloud, *, side_by_side: int, booting: int) -> None:
        self.cloud = cloud
        self.aws = Aws(Config())  # as the command line sees it
        self.booting = threading.Semaphore(booting)
        self._states: dict[str, str] = {}
        self._news = threading.Condition()
        self._over = False
        self._pool = ThreadPoolExecutor(side_by_side, thread_name_prefix="story")
        self._looking = threading.Thread(target=self._look, name="fleet", daemon=True)

    def begin(self, work: Callable[[], T]) -> Future[T]:
        return self._pool.submit(work)

    def is_within(self, instance: str, state: str, seconds: float) -> bool:
        """Whether EC2 says so before the time is over."""
        with self._news:
            self._news.wait_for(lambda: self._over or self._states.get(instance) == state, seconds)
            if self._over:
                raise Over
            return self._states.get(instance) == state

    def pause(self, seconds: float) -> None:
        with self._news:
            if self._news.wait_for(lambda: self._over, seconds):
                raise Over

    def why(self, instance: str, deadline: Deadline | None = None) -> Stopped | None:
        """The same answer as `gpu-box status` gives."""
        found = read_instance(self.aws, instance)
        assert found is not None
        return why(found, deadline, read_console_record(self.aws, instance), now=datetime.now(UTC))

    def _look(self) -> None:
        while not self._over:
            pages = self.cloud.ec2.get_paginator("describe_instances").paginate()
            states = {
                i["InstanceId"]: i["State"]["Name"]
                for page in pages
                for r in page["Reservations"]
                for i in r["Instances"]
            }
            with self._news:
                self._states = states
                self._news.notify_all()
            time.sleep(1.0)

    @contextmanager
    def at_work(self) -> Iterator[Fleet]:
        self._looking.start()
        try:
            yield self
        finally:
            with self._news:
                self._over = True
                self._news.notify_all()
            self._pool.shutdown(cancel_futures=True)
            self._looking.join()
