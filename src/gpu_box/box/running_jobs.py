"""Which jobs would end if their boxes stopped, found within a few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gpu_box.aws.client import Cloud
from gpu_box.box.find import host_of, where
from gpu_box.machine import jobs
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import Observed

_LONGEST_NAME = 64  # as remote/jobs allows


@dataclass(frozen=True, kw_only=True)
class Running:
    """The jobs of a running box. names: None if the box did not answer in time."""

    box: str
    names: tuple[str, ...] | None

    def __str__(self) -> str:
        if self.names is None:
            return f"{self.box} does not answer, so its jobs are unknown."
        return f"These jobs of {self.box} would end: {', '.join(self.names)}."


def find(boxes: Sequence[tuple[Cloud, Observed | None]], *, patience_s: float) -> tuple[Running, ...]:
    """The boxes that run a job or do not answer, side by side, in at most `patience_s` seconds in all.

    boxes: each with what AWS says of it; None to ask. Never raises: the command itself meets the same error.
    """
    found: list[Running | None] = [Running(box=cloud.config.name, names=None) for cloud, _ in boxes]

    def ask(index: int, cloud: Cloud, observed: Observed | None) -> None:
        # The box may answer anything, and no answer of a box may keep a command from stopping it.
        try:
            found[index] = _ask(cloud, observed, patience_s)
        except Exception:
            return

    # Not a pool, whose threads delay the end of the command.
    threads = [
        threading.Thread(target=ask, args=(index, *box), daemon=True) for index, box in enumerate(boxes)
    ]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return tuple(one for one in found if one)


def _ask(cloud: Cloud, observed: Observed | None, patience_s: float) -> Running | None:
    observed = observed or where(cloud)
    if observed.instance is None or not observed.instance.state.bills:
        return None
    with connect(host_of(cloud.config, observed), timeout_s=patience_s) as connection:
        running = [job.name for job in jobs.list_jobs(connection) if job.running]
    printable = (name if name.isprintable() else ascii(name) for name in running)
    names = tuple(name[:_LONGEST_NAME] for name in printable)
    return Running(box=cloud.config.name, names=names) if names else None
