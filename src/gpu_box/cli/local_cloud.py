"""The embedded cloud's daemon, started and stopped for the person who types; its failures as our errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from gpu_box import resources
from gpu_box.errors import GpuBoxError, InputError
from gpu_box.model.results import LocalCloud, LocalStopped
from gpu_box.store.files import data_home
from gpu_box.view import progress
from local_aws import daemon
from local_aws.failure import Failure

_POLICY = "operator-policy.json"


def start() -> dict[str, str]:
    """Variables with which an AWS SDK talks to it, as the user of infra/operator-policy.json."""
    with _failures():
        return daemon.start(data_home(), resources.infra(_POLICY), note=_say)


def start_as_owner() -> dict[str, str]:
    """As `start`, as the account's owner."""
    with _failures():
        return daemon.start_as_owner(data_home(), resources.infra(_POLICY), note=_say)


def status() -> LocalCloud:
    with _failures():
        found = daemon.status(data_home())
    return LocalCloud(running=True, **asdict(found)) if found else LocalCloud(running=False)


def require_answer() -> None:
    """Raise GpuBoxError if a daemon runs; called when it did not answer."""
    if daemon.is_up(data_home()):
        raise GpuBoxError(
            "the embedded cloud runs but does not answer", remedy="Try again, or run `gpu-box local stop`."
        )


def stop() -> LocalStopped:
    with _failures():
        return LocalStopped(stopped=daemon.stop(data_home()))


def _say(line: str) -> None:
    """On standard error: standard output may be read by a shell or a program."""
    progress.over()
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _failures() -> Iterator[None]:
    """Failure as InputError or GpuBoxError."""
    try:
        yield
    except Failure as failure:
        kind = InputError if failure.bad_input else GpuBoxError
        raise kind(failure.what, where=failure.where or None, remedy=failure.remedy or None) from None
