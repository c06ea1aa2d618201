"""Jobs and ~/scratch data that stopping boxes would lose. Takes a few seconds at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gpu_box.aws.client import Cloud
from gpu_box.box.converge import require_own
from gpu_box.box.find import host_of, locate
from gpu_box.machine import jobs, scratch
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import Observed
from gpu_box.units import format_bytes

_LONGEST_NAME = 64  # the limit of remote/jobs


@dataclass(frozen=True, kw_only=True)
class Running:
    """The jobs of a running box. names: None if the box did not answer in time."""

    box: str
    names: tuple[str, ...] | None
    scratch_lost: int = 0  # bytes
    waiting: tuple[str, ...] = ()  # in the queue

    def __str__(self) -> str:
        if self.names is None:
            return f"{self.box} does not answer, so its jobs are unknown."
        parts = []
        if self.names:
            parts.append(f"These jobs of {self.box} would end: {', '.join(self.names)}.")
        if self.waiting:
            parts.append(f"These wait in its queue: {', '.join(self.waiting)}.")
        if self.scratch_lost:
            parts.append(f"{format_bytes(self.scratch_lost)} in ~/scratch of {self.box} will be lost.")
        return " ".join(parts)


def find(boxes: Sequence[tuple[Cloud, Observed | None]], *, patience_s: float) -> tuple[Running, ...]:
    """The boxes that would lose something or do not answer, within `patience_s` seconds for all.

    boxes: each with its observed state, or None to read it. Never raises: the command itself hits the same
    error.
    """
    found: list[Running | None] = [Running(box=cloud.config.name, names=None) for cloud, _ in boxes]

    def ask(index: int, cloud: Cloud, observed: Observed | None) -> None:
        # The box's answer is not trusted, and must not keep a command from stopping the box.
        try:
            found[index] = _ask(cloud, observed, patience_s)
        except Exception:
            return

    # No thread pool, because its threads delay the end of the command.
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
    observed = observed or locate(cloud)
    require_own(cloud, observed)
    if observed.instance is None or not observed.instance.state.bills:
        return None
    with connect(host_of(cloud.config, observed), timeout_s=patience_s) as connection:
        found = jobs.list_jobs(connection)
        scratch_lost = scratch.lost(connection)
    names = tuple(_shown(job.name) for job in found if job.running)
    waiting = tuple(_shown(job.name) for job in found if job.state == "waiting")
    if not (names or waiting or scratch_lost):
        return None
    return Running(box=cloud.config.name, names=names, scratch_lost=scratch_lost, waiting=waiting)


def _shown(name: str) -> str:
    return (name if name.isprintable() else ascii(name))[:_LONGEST_NAME]
