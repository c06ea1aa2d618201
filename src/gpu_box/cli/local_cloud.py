"""Starts and stops the embedded cloud's daemon, and translates its failures into our errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from gpu_box import resources
from gpu_box.errors import GpuBoxError, InputError
from gpu_box.model.results import LocalCloud, LocalStopped
from gpu_box.store.files import data_home, not_written
from gpu_box.view import progress
from local_aws import daemon
from local_aws.failure import Failure


def start() -> dict[str, str]:
    """Variables that point an AWS SDK at the embedded cloud, as the user of `resources.local_policies`."""
    with _failures():
        return daemon.start(data_home(), resources.local_policies(), note=_say)


def start_as_owner() -> dict[str, str]:
    """The same as the account's owner."""
    with _failures():
        return daemon.start_as_owner(data_home(), resources.local_policies(), note=_say)


def status() -> LocalCloud:
    with _failures():
        found = daemon.status(data_home())
    return LocalCloud(running=True, **asdict(found)) if found else LocalCloud(running=False)


def require_answer() -> None:
    """Raise GpuBoxError if a daemon runs. Call it when the daemon did not answer."""
    with _failures():
        is_up = daemon.is_up(data_home())
    if is_up:
        raise GpuBoxError(
            "the embedded cloud runs but does not answer", remedy="Try again, or run `gpu-box local stop`."
        )


def stop() -> LocalStopped:
    with _failures():
        return LocalStopped(stopped=daemon.stop(data_home()))


def _say(line: str) -> None:
    """Print to standard error: standard output may be read by a shell or a program."""
    progress.clear_status()
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _failures() -> Iterator[None]:
    """Translate Failure, and what cannot be written of our own, into InputError or GpuBoxError."""
    try:
        yield
    except OSError as error:
        if problem := not_written(error):
            raise problem from None
        raise
    except Failure as failure:
        kind = InputError if failure.bad_input else GpuBoxError
        raise kind(failure.what, where=failure.where or None, remedy=failure.remedy or None) from None
