"""Commands in processes of their own, which may die as one that is killed dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from unittest import mock

from gpu_box.aws import launch, made, throttled
from gpu_box.aws.steps import network

# Not forked from a test's process, which has threads; and not started anew, which takes seconds each.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.races.hand", "tests.faults.warmed"])
_LONGEST_SLEEP_S = 0.1


def process(target: Callable[..., None], *args: object) -> BaseProcess:
    """Use the current environment: the fork server has that of its first user."""
    return CONTEXT.Process(target=_in_environment, args=(dict(os.environ), target, args))


def _in_environment(environment: dict[str, str], target: Callable[..., None], args: Sequence[object]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*args)


@contextmanager
def impatient() -> Iterator[None]:
    """Shorten waits that are meant for AWS."""
    sleep = time.sleep
    with (
        mock.patch("time.sleep", lambda seconds: sleep(min(seconds, _LONGEST_SLEEP_S))),
        mock.patch.object(network, "_GROUP_IN_USE_S", 2.0),
        mock.patch.object(launch, "_NOT_YET_S", 2.0),
        mock.patch.object(made, "NOT_YET_S", 2.0),
        mock.patch.object(throttled, "PATIENCE_S", 0.5),
    ):
        yield
