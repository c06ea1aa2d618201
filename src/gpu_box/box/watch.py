"""Watch a box while a command runs: for `status --watch`, and for notifications on this laptop.

Reads AWS once a minute and the machine every few seconds, over one connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from gpu_box.aws.client import Cloud
from gpu_box.box import find, status
from gpu_box.box.notify import Notifier
from gpu_box.errors import CredentialsError, GpuBoxError, MachineError
from gpu_box.machine import watcher
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import InstanceState
from gpu_box.model.progress import Reporter
from gpu_box.model.results import StatusView
from gpu_box.model.watch import Reading

_EVERY = timedelta(seconds=3)
_SELDOM = timedelta(seconds=20)  # for notifications only
_ASK_AWS_S = 60.0
_PAUSE_S = 3.0  # before another try to reach a silent machine

Shown = Callable[[StatusView, Reading | None, str], None]
"""The state in AWS, the machine's reading (None: not yet), and why it does not answer, or ""."""


class _AskAws(Exception):  # noqa: N818 - a signal, not an error: the state in AWS is a minute old
    pass


def watch(cloud: Cloud, show: Shown, notifier: Notifier, *, every: timedelta = _EVERY) -> StatusView:
    """Show the box until it no longer runs; return its final status. Raises CloudError."""
    while True:
        found = status.status(cloud)
        instance = found.observed.instance
        if instance is None or instance.state not in (InstanceState.RUNNING, InstanceState.PENDING):
            notifier.on_end(found)
            return found
        show(found, None, found.unreachable)
        notifier.on_status(found)
        asked = time.monotonic()

        def on_reading(reading: Reading, found: StatusView = found, asked: float = asked) -> None:
            show(found, reading, "")
            notifier.on_reading(reading, found.observed.deadline.at if found.observed.deadline else None)
            if time.monotonic() - asked > _ASK_AWS_S:
                raise _AskAws

        try:
            with connect(find.host_of(cloud.config, found.observed)) as connection:
                watcher.read_repeatedly(connection, every, on_reading)
        except _AskAws:
            continue
        except MachineError as error:
            show(found, None, str(error))
            time.sleep(_PAUSE_S)


@contextmanager
def beside(cloud: Cloud, report: Reporter, *, but: str = "") -> Iterator[None]:
    """Send this laptop's notifications about the box during the `with` block, if any are configured.

    but: a job that the caller reports itself.
    """
    config = cloud.config
    if not (config.notify.command or config.notify.desktop):
        yield
        return
    over = threading.Event()
    notifier = Notifier(config, report.note, but=but)

    def work() -> None:
        while not over.is_set():
            try:
                watch(cloud, lambda found, reading, trouble: None, notifier, every=_SELDOM)
            except CredentialsError:
                cloud.forget_credentials()
            except GpuBoxError:
                pass  # the command itself hits the same error
            over.wait(_ASK_AWS_S)

    threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        over.set()
