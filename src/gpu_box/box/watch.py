"""Looking at a box while a command runs: for `status --watch`, and beside others for this laptop's notices.

AWS is asked once a minute, the machine every few seconds over one connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from gpu_box.aws.client import Cloud
from gpu_box.box import find, status
from gpu_box.box.notify import Herald
from gpu_box.errors import CredentialsError, GpuBoxError, MachineError
from gpu_box.machine import watcher
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import InstanceState
from gpu_box.model.progress import Reporter
from gpu_box.model.results import StatusView
from gpu_box.model.watch import Look

_EVERY = timedelta(seconds=3)
_SELDOM = timedelta(seconds=20)  # where nobody sees it
_ASK_AWS_S = 60.0
_PAUSE_S = 3.0  # before a machine that does not answer is tried again

Shown = Callable[[StatusView, Look | None, str], None]
"""What AWS says, what the machine says (None: nothing yet), and why it does not, or ""."""


class _AskAws(Exception):  # noqa: N818 - no error: what AWS said is a minute old
    pass


def watch(cloud: Cloud, show: Shown, herald: Herald, *, every: timedelta = _EVERY) -> StatusView:
    """Shows until the box runs no more; returns what AWS says then. Raises CloudError."""
    while True:
        found = status.status(cloud)
        instance = found.observed.instance
        if instance is None or instance.state not in (InstanceState.RUNNING, InstanceState.PENDING):
            herald.ended(found)
            return found
        show(found, None, found.unreachable)
        herald.found(found)
        asked = time.monotonic()

        def on_look(look: Look, found: StatusView = found, asked: float = asked) -> None:
            show(found, look, "")
            herald.looked(look, found.observed.deadline.at if found.observed.deadline else None)
            if time.monotonic() - asked > _ASK_AWS_S:
                raise _AskAws

        try:
            with connect(find.host_of(cloud.config, found.observed)) as connection:
                watcher.look(connection, every, on_look)
        except _AskAws:
            continue
        except MachineError as error:
            show(found, None, str(error))
            time.sleep(_PAUSE_S)


@contextmanager
def beside(cloud: Cloud, report: Reporter, *, but: str = "") -> Iterator[None]:
    """Within its `with` block this laptop tells what becomes of the box, if it is to tell anything.

    but: a job of which somebody else tells.
    """
    config = cloud.config
    if not (config.notify.command or config.notify.desktop):
        yield
        return
    over = threading.Event()
    herald = Herald(config, report.note, but=but)

    def work() -> None:
        while not over.is_set():
            try:
                watch(cloud, lambda found, look, trouble: None, herald, every=_SELDOM)
            except CredentialsError:
                cloud.forget_credentials()
            except GpuBoxError:
                pass  # what it was begun beside meets it, too
            over.wait(_ASK_AWS_S)

    threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        over.set()
