"""`status --watch`: AWS asked once a minute, the machine every few seconds over one connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from gpu_box import box, notices
from gpu_box.config import Config
from gpu_box.errors import MachineError
from gpu_box.machine import watcher
from gpu_box.machine.connection import connect
from gpu_box.machine.watchstate import Look
from gpu_box.model import InstanceState, Observed

_EVERY = timedelta(seconds=3)
_ASK_AWS_S = 60.0
_SOON = timedelta(minutes=10)  # as the watcher warns on the box
_PAUSE_S = 3.0  # before a machine that does not answer is tried again

Shown = Callable[[box.Status, Look | None, str], None]
"""What AWS says, what the machine says (None: nothing yet), and why it does not, or ""."""


class _AskAws(Exception):  # noqa: N818 - no error: what AWS said is a minute old
    pass


def watch(config: Config, show: Shown) -> box.Status:
    """Shows until the box runs no more; returns what AWS says then. Raises CloudError."""
    told: list[datetime] = []
    while True:
        found = box.status(config)
        instance = found.observed.instance
        if instance is None or instance.state not in (InstanceState.RUNNING, InstanceState.PENDING):
            return found
        show(found, None, found.unreachable)
        asked = time.monotonic()

        def on_look(look: Look, found: box.Status = found, asked: float = asked) -> None:
            show(found, look, "")
            _tell(config, look, found.observed, told)
            if time.monotonic() - asked > _ASK_AWS_S:
                raise _AskAws

        try:
            with connect(box.host_of(config, found.observed)) as connection:
                watcher.look(connection, _EVERY, on_look)
        except _AskAws:
            continue
        except MachineError as error:
            show(found, None, str(error))
            time.sleep(_PAUSE_S)


def _tell(config: Config, look: Look, observed: Observed, told: list[datetime]) -> None:
    """On this laptop, once for each stop that comes near. told: those that were."""
    at = look.stops_at(observed.deadline.at if observed.deadline else None)
    if at is None or at - look.at > _SOON or any(abs(at - one) < _SOON for one in told):
        return
    told.append(at)
    text = f"It stops at {at.astimezone():%H:%M}: {look.watch.reason}"
    notices.tell(config.notify, "stopping", f"{config.name}: stops soon", text)
